// Keeps a page up to date without moving anything that its reader has touched.
"use strict";

(() => {
  const STORE = "driftguard.live";
  const button = document.querySelector("[data-live-button]");
  let isOn = localStorage.getItem(STORE) !== "off";
  let kept = null;

  function show() {
    button.setAttribute("aria-pressed", String(isOn));
  }

  if (button) {
    button.hidden = false;
    show();
    button.addEventListener("click", () => {
      isOn = !isOn;
      localStorage.setItem(STORE, isOn ? "on" : "off");
      show();
    });
  }

  const isLive = (event) => event.target.matches("[data-live]");

  document.addEventListener("htmx:beforeRequest", (event) => {
    const isRead = document.hidden || !window.getSelection().isCollapsed;
    if (isLive(event) && (!isOn || isRead)) event.preventDefault();
  });

  // What is unfolded, scrolled and focused, by names that outlive the swap.
  document.addEventListener("htmx:beforeSwap", (event) => {
    if (!isLive(event)) return;
    const focused = document.activeElement;
    kept = {
      open: [...event.target.querySelectorAll("details[open][data-keep]")].map((one) => one.dataset.keep),
      scrolled: [...event.target.querySelectorAll(".dg-scroll")].map((one) => [one.scrollLeft, one.scrollTop]),
      focused: event.target.contains(focused)
        ? [...event.target.querySelectorAll("a, button, summary, [tabindex]")].indexOf(focused)
        : -1,
    };
  });

  document.addEventListener("htmx:afterSwap", () => {
    const place = document.querySelector("[data-live]");
    if (!kept || !place) return;
    place.querySelectorAll("details[data-keep]").forEach((one) => {
      one.open = kept.open.includes(one.dataset.keep);
    });
    place.querySelectorAll(".dg-scroll").forEach((one, at) => {
      if (kept.scrolled[at]) [one.scrollLeft, one.scrollTop] = kept.scrolled[at];
    });
    const again = [...place.querySelectorAll("a, button, summary, [tabindex]")][kept.focused];
    if (again) again.focus({ preventScroll: true });
    kept = null;
  });
})();
