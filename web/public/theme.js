// Runs before the first paint, from a file of its own: the Content-Security-Policy forbids inline scripts.
(function () {
  var choice = null;
  try {
    choice = localStorage.getItem("doce.theme");
  } catch {
    // A browser that refuses storage follows the system.
  }
  var dark = choice === "dark" || (choice !== "light" && matchMedia("(prefers-color-scheme: dark)").matches);
  document.documentElement.classList.toggle("dark", dark);
})();
