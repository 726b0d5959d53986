// A report in a frame has the colours of the page around it: it takes them from behind the # of its address.
document.addEventListener("DOMContentLoaded", () => {
  const frames = document.querySelectorAll("iframe.report");
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const tell = () => {
    const theme = document.body.dataset.theme;
    const name = theme === "light" || theme === "dark" ? theme : dark.matches ? "dark" : "light";
    for (const frame of frames) frame.src = `${frame.src.split("#")[0]}#${name}`;
  };
  if (!frames.length) return;
  tell();
  dark.addEventListener("change", tell);
  new MutationObserver(tell).observe(document.body, { attributeFilter: ["data-theme"] });
});
