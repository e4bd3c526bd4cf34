// Wide tables and long lines of code scroll, so the keyboard has to reach them.
document.addEventListener("DOMContentLoaded", () => setTimeout(() => {
  for (const box of document.querySelectorAll(".md-typeset__scrollwrap, pre > code")) box.tabIndex = 0;
}, 0));
