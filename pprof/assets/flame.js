// Flame graphs of one section: tabs, search, zoom, tooltips, the table of heaviest functions. Loads nothing.
(function () {
  "use strict";
  var section = document.currentScript.parentElement;
  var graphs = JSON.parse(section.querySelector('script[type="application/json"]').textContent);
  var ROW = 18, STRIDE = 6;
  var el = function (tag, cls, text) {
    var e = document.createElement(tag);
    if (cls) e.className = cls;
    if (text !== undefined) e.textContent = text;
    return e;
  };
  var add = function (parent) { for (var i = 1; i < arguments.length; i++) parent.appendChild(arguments[i]); return parent; };

  function value(v, unit) {
    var a = Math.abs(v), i;
    if (unit === "nanoseconds") {
      var t = [["ns", 1], ["µs", 1e3], ["ms", 1e6], ["s", 1e9]];
      for (i = 3; i > 0 && a < t[i][1]; i--);
      return +(v / t[i][1]).toPrecision(4) + " " + t[i][0];
    }
    if (unit === "bytes") {
      var u = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
      for (i = 0; a >= 1024 && i < 5; i++) { a /= 1024; v /= 1024; }
      return (i ? v.toFixed(2) : v) + " " + u[i];
    }
    return v.toLocaleString("en-US") + (unit && unit !== "count" ? " " + unit : "");
  }
  var pct = function (v, total) { return total ? 100 * v / total : 0; };
  var short = function (name) {
    var i = name.indexOf("["), head = i < 0 ? name : name.slice(0, i);
    return name.indexOf("stage: ") === 0 ? name : name.slice(head.lastIndexOf("/") + 1);
  };

  // build turns the flat preorder list into nodes with children.
  function build(g) {
    var nodes = [], path = [];
    for (var i = 0; i < g.nodes.length; i += STRIDE) {
      var n = { i: nodes.length, name: g.names[g.nodes[i]], depth: g.nodes[i + 1], v: g.nodes[i + 2], self: g.nodes[i + 3],
        b: g.nodes[i + 4], bself: g.nodes[i + 5], kids: [], up: null, color: g.colors[g.nodes[i]] };
      if (n.depth) { n.up = path[n.depth - 1]; n.up.kids.push(n); }
      path[n.depth] = n;
      nodes.push(n);
    }
    var root = nodes[0];
    if (g.diff) nodes.forEach(function (n) {
      var d = pct(n.v, root.v) - pct(n.b, root.b), s = Math.min(1, Math.sqrt(Math.abs(d) / 20));
      n.color = "hsl(" + (d < 0 ? 214 : 8) + "," + Math.round(90 * Math.min(1, s * 3)) + "%," + Math.round(94 - 34 * s) + "%)";
    });
    return nodes;
  }

  var state = { g: 0, zoom: 0, re: null, by: "v" };
  var built = graphs.map(build);

  var tabs = el("div", "tabs"), bar = el("div", "bar"), sum = el("p", "sum"), chart = el("div", "chart"), legend = el("div", "legend"), top = el("div", "top");
  var input = el("input"), reset = el("button", "", "Reset"), hit = el("span", "hit"), tip = el("div", "tip"), side = el("button", "");
  input.type = "search"; input.placeholder = "Search functions (regular expression)"; input.setAttribute("aria-label", "Search functions");
  reset.type = side.type = "button"; tip.hidden = true; tip.setAttribute("role", "tooltip");
  tabs.setAttribute("role", "tablist");
  add(bar, input, reset, side, hit);
  add(section, tabs, sum, bar, chart, legend, top, tip);

  function render() {
    var g = graphs[state.g], nodes = built[state.g], by = state.by, root = nodes[0], z = nodes[state.zoom] || root;
    if (!(z[by] > 0)) { z = root; state.zoom = 0; }
    // Shares of the width, so that a page that is printed narrower or wider than it was shown keeps its shape.
    var width = chart.clientWidth || 1, depth = 0, out = document.createDocumentFragment();
    function draw(n, x, w, cls) {
      var d = el("div", "fr" + cls + (w < 30 ? " thin" : ""), w < 30 ? "" : short(n.name));
      d.style.cssText = "left:" + (100 * x / width).toFixed(3) + "%;width:" + (100 * w / width).toFixed(3) + "%;top:" + n.depth * ROW + "px;background:" + n.color;
      d.dataset.i = n.i;
      if (w >= 30) { d.tabIndex = 0; d.setAttribute("role", "button"); d.setAttribute("aria-label", describe(n).replace(/\n/g, ", ")); }
      if (state.re && state.re.test(n.name)) d.classList.add("m");
      if (n.depth > depth) depth = n.depth;
      out.appendChild(d);
    }
    for (var u = z.up; u; u = u.up) draw(u, 0, width, " up");
    (function walk(n, x, w) {
      draw(n, x, w, "");
      n.kids.forEach(function (k) {
        var kw = w * k[by] / n[by];
        if (kw >= 0.4) walk(k, x, kw);
        x += kw;
      });
    })(z, 0, width);
    chart.replaceChildren(out);
    chart.style.height = (depth + 1) * ROW + 2 + "px";
    sum.textContent = g.summary;
    side.hidden = !g.diff;
    side.textContent = by === "v" ? "Widths: after" : "Widths: before";
    matched();
  }

  // matched adds up the search's matches, a match inside another one once.
  function matched() {
    if (!state.re) { hit.textContent = ""; return; }
    var by = state.by, total = 0, count = 0;
    (function walk(n, inside) {
      var m = state.re.test(n.name);
      if (m) count++;
      if (m && !inside) total += n[by];
      n.kids.forEach(function (k) { walk(k, inside || m); });
    })(built[state.g][0], false);
    hit.textContent = count + " frames, " + pct(total, built[state.g][0][by]).toFixed(2) + " %";
  }

  function describe(n) {
    var g = graphs[state.g], root = built[state.g][0];
    var s = n.name + "\n" + value(n.v, g.unit) + ", " + pct(n.v, root.v).toFixed(2) + " % of all";
    if (n.up) s += ", " + pct(n.v, n.up.v).toFixed(1) + " % of its caller";
    s += "\nitself " + value(n.self, g.unit) + ", " + pct(n.self, root.v).toFixed(2) + " %";
    if (g.diff) {
      var d = pct(n.v, root.v) - pct(n.b, root.b);
      s += "\nbefore " + value(n.b, g.unit) + ", " + pct(n.b, root.b).toFixed(2) + " %\nchange " + (d < 0 ? "−" : "+") + Math.abs(d).toFixed(2) + " points of share";
    }
    return s;
  }

  // table lists functions by their own cost; a recursive function's total counts once a stack.
  function table() {
    var g = graphs[state.g], nodes = built[state.g], root = nodes[0], by = Object.create(null), open = Object.create(null);
    (function walk(n) {
      var t = by[n.name] || (by[n.name] = { name: n.name, self: 0, all: 0, bself: 0 });
      t.self += n.self; t.bself += n.bself;
      if (!open[n.name]) t.all += n.v;
      open[n.name] = (open[n.name] || 0) + 1;
      n.kids.forEach(walk);
      open[n.name]--;
    })(root);
    var change = function (t) { return pct(t.self, root.v) - pct(t.bself, root.b); };
    var rows = Object.keys(by).map(function (k) { return by[k]; }).filter(function (t) { return t.self > 0 || t.bself > 0; });
    rows.sort(function (a, b) { return g.diff ? Math.abs(change(b)) - Math.abs(change(a)) : b.self - a.self; });
    var tb = el("tbody");
    rows.slice(0, 30).forEach(function (t) {
      var tr = el("tr");
      var cells = [short(t.name), value(t.self, g.unit), pct(t.self, root.v).toFixed(2) + " %"];
      if (g.diff) cells.push(pct(t.bself, root.b).toFixed(2) + " %", (change(t) < 0 ? "−" : "+") + Math.abs(change(t)).toFixed(2));
      else cells.push(value(t.all, g.unit), pct(t.all, root.v).toFixed(2) + " %");
      cells.forEach(function (c) { tr.appendChild(el("td", "", c)); });
      tr.firstChild.title = t.name;
      tr.onclick = function () { input.value = "^" + t.name.replace(/[.*+?^${}()|[\]\\]/g, "\\$&") + "$"; find(); chart.scrollIntoView({ block: "nearest" }); };
      tb.appendChild(tr);
    });
    var tr = el("tr");
    (g.diff ? ["Function, largest change first", "Itself", "Share", "Before", "Points"] : ["Function, by its own cost", "Itself", "", "With callees", ""])
      .forEach(function (h) { tr.appendChild(el("th", "", h)); });
    top.replaceChildren(add(el("table"), add(el("thead"), tr), tb));
  }

  function key() {
    var g = graphs[state.g];
    var items = g.diff ? [["hsl(8,90%,60%)", "larger share than before"], ["hsl(8,0%,94%)", "the same"], ["hsl(214,90%,60%)", "smaller share"]]
      : [["hsl(18,85%,70%)", "ron-accounting"], ["hsl(42,85%,70%)", "other modules"], ["hsl(140,38%,74%)", "standard library"], ["hsl(210,28%,76%)", "runtime"], ["hsl(268,45%,78%)", "stage label"]];
    legend.replaceChildren.apply(legend, items.map(function (it) {
      var i = el("i"), s = el("span");
      i.style.background = it[0];
      s.append(i, it[1]);
      return s;
    }));
  }

  function find() {
    try { state.re = input.value ? new RegExp(input.value, "i") : null; input.setCustomValidity(""); }
    catch (e) { state.re = null; hit.textContent = "not a regular expression"; return; }
    render();
  }
  function show(i) {
    state.g = i; state.zoom = 0; state.by = built[i][0].v > 0 ? "v" : "b";
    Array.prototype.forEach.call(tabs.children, function (t, j) { t.setAttribute("aria-selected", j === i); });
    render(); table(); key();
  }
  function pick(d) {
    var i = +d.dataset.i;
    state.zoom = i === state.zoom ? 0 : i;
    tip.hidden = true;
    render();
  }

  if (graphs.length > 1) graphs.forEach(function (g, i) {
    var b = el("button", "", g.title);
    b.type = "button"; b.setAttribute("role", "tab");
    b.onclick = function () { show(i); };
    tabs.appendChild(b);
  });
  chart.addEventListener("click", function (e) { var d = e.target.closest(".fr"); if (d) pick(d); });
  chart.addEventListener("mousemove", function (e) {
    var d = e.target.closest(".fr");
    tip.hidden = !d;
    if (!d) return;
    tip.textContent = describe(built[state.g][+d.dataset.i]);
    tip.style.left = Math.max(4, Math.min(e.clientX + 14, window.innerWidth - tip.offsetWidth - 8)) + "px";
    tip.style.top = (e.clientY + 18 + tip.offsetHeight > window.innerHeight ? e.clientY - tip.offsetHeight - 12 : e.clientY + 18) + "px";
  });
  chart.addEventListener("mouseleave", function () { tip.hidden = true; });
  section.addEventListener("keydown", function (e) {
    if (e.key === "Escape") { state.zoom = 0; input.value = ""; find(); }
    if (e.key === "Enter" && e.target.classList.contains("fr")) pick(e.target);
  });
  input.addEventListener("input", find);
  reset.onclick = function () { state.zoom = 0; input.value = ""; find(); };
  side.onclick = function () { state.by = state.by === "v" ? "b" : "v"; render(); };
  var wide = 0;
  new ResizeObserver(function () { if (chart.clientWidth !== wide) { wide = chart.clientWidth; render(); } }).observe(chart);
  if (graphs.length) show(0);
})();
