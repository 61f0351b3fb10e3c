// Formulas that arithmatex has marked are drawn by KaTeX, which is part of the site. One that cannot be read is an error.
document.addEventListener("DOMContentLoaded", () => {
  for (const element of document.querySelectorAll(".arithmatex")) {
    const text = element.textContent.trim();
    katex.render(text.slice(2, -2), element, { displayMode: text.startsWith("\\[") });
  }
});
