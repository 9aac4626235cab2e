// The numbers of the node or the weight that somebody points at, or where the walk is.

class Numbers {
  constructor(figure) {
    this.figure = figure;
    this.host = html("section", { class: "inspector", "aria-live": "polite", "aria-label": "Numbers" });
  }

  show() {
    const key = this.figure.seen?.dataset;
    if (key?.leaf !== undefined) this.weight(+key.leaf);
    else if (key?.line !== undefined) this.node(+key.line);
    else if (this.figure.began && this.figure.now !== null) this.node(this.figure.now);
    else {
      const text = this.figure.done
        ? "Point at a node or a weight, or tab to it: here are its numbers. The slider below walks back from the loss."
        : "Nothing has been walked yet. The walk begins with the derivative of the loss by itself: 1.";
      this.host.replaceChildren(html("p", { class: "hint" }, text));
    }
  }

  part(title, ...children) { return html("div", {}, html("h4", {}, title), ...children); }

  value(statistics, shape, outputs = 1) {
    const why = outputs > 1 ? `${outputs} values` : "not kept: no derivative mentions it";
    if (!statistics) return [html("p", { class: "big", "data-shape": "" }, shape), html("p", { class: "soft" }, why)];
    const [mean, std, low, high] = statistics.map((x) => figure(x));
    return [
      html("p", { class: "big", "data-shape": "" }, shape),
      html("p", { "data-value": "" }, `mean ${mean}, std ${std}`), html("p", {}, `from ${low} to ${high}`),
    ];
  }

  node(i) {
    const { ops, op, shape, gradient, edges, value, leaves, outputs } = this.figure.scene;
    const [name, , , rule, inputs, keeps] = ops[op[i]];
    const readers = this.figure.readers[i];
    const sum = i === this.figure.lines - 1 ? "the loss itself"
      : readers.length === 1 ? `from line ${readers[0]}`
      : `${outputs[i] > 1 ? `at its ${outputs[i]} outputs together` : `${readers.length} gradients met and were added`}: `
        + `from lines ${readers.slice(0, 6).join(", ")}${readers.length > 6 ? ", …" : ""}`;
    const passed = i >= this.figure.lines - this.figure.done;
    const goes = edges[i].slice(0, 6).map(([k, parent, g]) => {
      const to = parent < 0 ? leaves[-1 - parent].name : `${parent} ${ops[op[parent]][0]}`;
      return html("p", { "data-edge": parent }, html("code", {}, `dL/d${inputs[k]}`), ` ${figure(g)} `, html("small", {}, `to ${to}`));
    });
    if (edges[i].length > 6) goes.push(html("p", { class: "soft" }, `and ${edges[i].length - 6} more`));
    this.host.replaceChildren(
      html("div", { "data-shown": i }, html("h3", {}, name), html("p", {}, this.figure.place(i)),
        html("p", { class: "soft" }, `line ${i}, step ${this.figure.lines - i} of the walk`)),
      this.part("Rule", html(rule.length > 1 ? "code" : "p", {}, rule.join("\n").replaceAll("`", "")), html("p", { class: "soft" }, keeps.length ? `keeps ${keeps.join(", ")}` : "")),
      this.part("Value", ...this.value(value[i], shape[i], outputs[i])),
      this.part("Gradient", html("p", { class: "big", "data-gradient": "" }, figure(gradient[i])), html("p", { class: "soft" }, passed ? sum : "not reached yet")),
      this.part("What leaves", ...goes),
    );
  }

  weight(k) {
    const leaf = this.figure.scene.leaves[k];
    const uses = this.figure.weights[k].length;
    this.host.replaceChildren(
      html("div", { "data-shown": `leaf ${k}` }, html("h3", {}, leaf.name), html("p", { class: "soft" }, uses > 1 ? `one weight, used ${uses} times` : "used once")),
      this.part("Value", ...this.value(leaf.value, leaf.shape)),
      this.part("Gradient", html("p", { class: "big", "data-gradient": "" }, figure(leaf.gradient)),
        html("p", { class: "soft" }, uses > 1 ? `the sum of ${uses}: what each time step adds is the line from it to the weight` : "")),
    );
  }
}
