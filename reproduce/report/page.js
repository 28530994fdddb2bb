"use strict";
// Draws every plot of the page and connects it with the switches of its section.
(function () {
  const options = { responsive: true, displaylogo: false, modeBarButtonsToRemove: ["select2d", "lasso2d", "zoomIn2d", "zoomOut2d"] };

  function chosen(form, name) {
    return new Set([...form.querySelectorAll(`input[name=${name}]:checked`)].map((box) => box.value));
  }

  function apply(form) {
    const wanted = { algorithm: chosen(form, "algorithm"), split: chosen(form, "split"), kind: chosen(form, "kind") };
    const log = form.querySelector("input[name=log]").checked;
    document.querySelectorAll(`.plot[data-group="${form.dataset.group}"]`).forEach((plot) => {
      const visible = plot.data.map((trace) => Object.keys(wanted).every((key) => wanted[key].has(trace.meta[key])));
      const type = log ? "log" : "linear";
      const change = {};
      if (plot.layout.xaxis.type !== type) {
        const [low, high] = plot.layout.xaxis.range;
        change["xaxis.type"] = type;
        change["xaxis.dtick"] = log ? 1 : null;
        change["xaxis.range"] = log ? [Math.log10(Math.max(low, high / 1e4)), Math.log10(high)] : [0, Math.pow(10, high)];
      }
      Plotly.update(plot, { visible: visible }, change);
    });
  }

  document.querySelectorAll("script[data-for]").forEach((source) => {
    const figure = JSON.parse(source.textContent);
    Plotly.newPlot(source.dataset.for, figure.data, figure.layout, options);
  });
  document.querySelectorAll("form.controls").forEach((form) => {
    form.addEventListener("change", () => apply(form));
    form.addEventListener("submit", (event) => event.preventDefault());
    form.reset(); // browsers remember switches, plots do not
  });
  document.documentElement.dataset.ready = "true";
})();
