"""Event store, message store and transactional outbox for SQLAlchemy and PostgreSQL."""
