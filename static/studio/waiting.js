// The page of a head that is being turned: once it is turned, the result is shown. Until then
// static/layout/live.js keeps the page up to date.

const observer = new MutationObserver(() => {
  if (!document.querySelector("[data-turned]")) return;
  observer.disconnect();
  location.reload();
});
observer.observe(document.querySelector("main"), { childList: true, subtree: true });
