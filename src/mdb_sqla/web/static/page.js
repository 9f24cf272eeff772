// Live updates that can be switched off, and keys. Everything works without this script.
"use strict";

const control = document.getElementById("live-control");
let isLive = true;

function showControl() {
  if (!control) return;
  control.hidden = false;
  control.setAttribute("aria-pressed", String(isLive));
  control.textContent = isLive ? "Live" : "Paused";
}

if (control) {
  control.addEventListener("click", () => {
    isLive = !isLive;
    showControl();
  });
  showControl();
}

// No polling of a page that nobody sees, or that somebody is reading.
document.addEventListener("htmx:before:request", (event) => {
  if (document.hidden || !isLive) event.preventDefault();
});

function showConnection(isLost) {
  document.body.classList.toggle("disconnected", isLost);
  if (control && isLive) control.textContent = isLost ? "Disconnected" : "Live";
}

document.addEventListener("htmx:error", () => showConnection(true));
document.addEventListener("htmx:after:swap", () => showConnection(false));

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest("input, select, textarea")) return;
  if (event.key === "/") {
    event.preventDefault();
    document.getElementById("search").focus();
  } else if (event.key === "j" || event.key === "k") {
    const rows = [...document.querySelectorAll("a.row")];
    const current = rows.indexOf(document.activeElement);
    const next = current + (event.key === "j" ? 1 : -1);
    (rows[Math.max(0, next)] || rows[rows.length - 1])?.focus();
  } else if (event.key === "n") {
    document.querySelector("a[rel=next]")?.click();
  }
});
