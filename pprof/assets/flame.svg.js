// Zoom, search and details of one flame graph SVG. Runs in the SVG it stands in, alone or inside a page; loads nothing.
(function () {
  "use strict";
  var script = document.currentScript;
  var svg = script && script.closest ? script.closest("svg") : document.documentElement;
  if (!svg) return;
  var W = +svg.dataset.width, M = +svg.dataset.margin, CHAR = 6.6;
  var one = function (q) { return svg.querySelector(q); };
  var details = one(".details"), matched = one(".matched"), reset = one('[data-do="reset"]');
  var frames = Array.prototype.map.call(svg.querySelectorAll(".f"), function (el) {
    var r = el.querySelector("rect");
    return { el: el, rect: r, x: +r.getAttribute("x"), w: +r.getAttribute("width"), y: +r.getAttribute("y"),
      name: el.dataset.n, tip: el.querySelector("title").textContent };
  });
  var all = frames[0], zoomed = all;
  var SVGNS = "http://www.w3.org/2000/svg";

  function shorten(name) {
    var i = name.indexOf("["), head = i < 0 ? name : name.slice(0, i);
    return name.indexOf("stage: ") === 0 ? name : name.slice(head.lastIndexOf("/") + 1);
  }
  function label(f, x, w) {
    var t = f.el.querySelector("text"), n = Math.floor((w - 6) / CHAR), s = shorten(f.name);
    if (n < 3) { if (t) t.textContent = ""; return; }
    if (!t) {
      t = document.createElementNS(SVGNS, "text");
      t.setAttribute("y", f.y + 12);
      f.el.appendChild(t);
    }
    t.setAttribute("x", x + 3);
    t.textContent = s.length <= n ? s : s.slice(0, n - 1) + "…";
  }
  function zoom(to) {
    zoomed = to;
    var k = (W - 2 * M) / to.w, eps = 1e-3;
    frames.forEach(function (f) {
      var above = f.y < to.y && f.x <= to.x + eps && f.x + f.w >= to.x + to.w - eps;
      var inside = f.y >= to.y && f.x >= to.x - eps && f.x + f.w <= to.x + to.w + eps;
      f.el.style.display = above || inside ? "" : "none";
      f.el.classList.toggle("up", above);
      if (!above && !inside) return;
      var x = above ? M : M + (f.x - to.x) * k, w = above ? W - 2 * M : f.w * k;
      f.rect.setAttribute("x", x);
      f.rect.setAttribute("width", w);
      label(f, x, w);
    });
    reset.setAttribute("visibility", to === all ? "hidden" : "visible");
  }
  function search(term) {
    var re = null;
    if (term) { try { re = new RegExp(term, "i"); } catch (e) { matched.textContent = "not a regular expression"; return; } }
    var spans = [];
    frames.forEach(function (f) {
      var hit = !!re && re.test(f.name);
      f.el.classList.toggle("m", hit);
      if (hit) spans.push([f.x, f.x + f.w]);
    });
    spans.sort(function (a, b) { return a[0] - b[0] || b[1] - a[1]; });
    var sum = 0, end = 0; // nested matches count once
    spans.forEach(function (s) { if (s[1] > end) { sum += s[1] - Math.max(s[0], end); end = s[1]; } });
    matched.textContent = re ? "matched " + (100 * sum / all.w).toFixed(2) + "%" : "";
  }
  function ask() {
    var term = window.prompt("Search frames (regular expression)", "");
    if (term !== null) search(term);
  }
  svg.addEventListener("click", function (e) {
    var b = e.target.closest("[data-do]"), g = e.target.closest(".f");
    if (b) { if (b.dataset.do === "reset") zoom(all); else ask(); return; }
    if (g) frames.forEach(function (f) { if (f.el === g) zoom(f === zoomed ? all : f); });
  });
  svg.addEventListener("mouseover", function (e) {
    var g = e.target.closest(".f");
    details.textContent = g ? g.querySelector("title").textContent.replace(/\n/g, " — ") : "";
  });
  document.addEventListener("keydown", function (e) {
    if (document.documentElement !== svg) return; // inside a page the page's keys are the page's
    if ((e.ctrlKey || e.metaKey) && e.key === "f") { e.preventDefault(); ask(); }
    if (e.key === "Escape") { zoom(all); search(""); }
  });
})();
