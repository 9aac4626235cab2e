// The picture of one tape: draws what scene.py says, as much of time as there is room for.

const MARGIN = 198; // left of time, for names and weights
const SMALLEST = 0.72; // the scale below which not all steps are shown at once

class Figure {
  constructor(scene, name, host) {
    this.scene = scene;
    this.lines = scene.op.length;
    this.done = this.lines; // steps of the walk that have been made
    this.offset = 0; // of what is seen of time, in the units of the scene
    this.began = false; // whether somebody has moved the walk
    this.seen = null; // the node or weight that somebody points at
    this.index();

    const title = html("header", {}, html("h2", {}, name), html("p", {}, name ? scene.title : ""));
    this.strip = element("svg", { class: "strip", role: "img" });
    this.pan = html("input", { type: "range", min: 0, step: 1, "aria-label": "First time step that is shown" });
    this.panned = html("label", { class: "pan" }, html("span", {}, "time steps"), this.pan, html("span"));
    this.lens = element("svg", { class: "lens", role: "group", "aria-label": `The tape: ${scene.title}` });
    this.host = html("section", { class: "figure" }, ...(name ? [title] : []), this.strip, this.panned, this.lens);
    host.append(this.host);
    this.numbers = new Numbers(this);
    document.getElementById("numbers").append(this.numbers.host);

    this.pan.addEventListener("input", () => show(+this.pan.value));
    const jump = (event) => {
      const box = this.strip.getBoundingClientRect();
      const at = (event.clientX - box.left - this.margin) / (this.pixels - this.margin);
      show(Math.round(at * scene.columns - this.steps / 2));
    };
    this.strip.addEventListener("pointerdown", (event) => { this.strip.setPointerCapture(event.pointerId); jump(event); });
    this.strip.addEventListener("pointermove", (event) => event.buttons && jump(event));
    for (const kind of ["pointerover", "focusin"]) this.lens.addEventListener(kind, (event) => this.point(event.target));
    for (const kind of ["pointerout", "focusout"]) this.lens.addEventListener(kind, () => this.point(document.activeElement));
    new ResizeObserver(() => this.resize()).observe(this.host);
    this.resize();
  }

  // What stands in each frame; who reads each line; which line of each step is the youngest.
  index() {
    const { column, edges, spot, spots, rows } = this.scene;
    this.frames = new Map();
    this.readers = edges.map(() => []);
    this.weights = this.scene.leaves.map(() => []);
    this.youngest = rows.map((row) => new Map(row.columns.map((c) => [c, 0])));
    const frame = (c) => this.frames.get(c) ?? this.frames.set(c, { nodes: [], edges: [] }).get(c);
    column.forEach((c, i) => {
      frame(c).nodes.push(i);
      for (const edge of edges[i]) {
        const [, parent] = edge;
        if (parent >= 0) this.readers[parent].push(i);
        else this.weights[-1 - parent].push(i);
        frame(c === -1 && parent >= 0 ? column[parent] : c).edges.push([i, edge]);
      }
      const row = spots[spot[i]][2];
      if (row >= 0 && c >= 0) this.youngest[row].set(c, Math.max(this.youngest[row].get(c), i));
    });
    this.readers.forEach((list) => list.reverse());
  }

  // ------------------------------------------------------------------------------- gradients

  level(g) {
    const [low, high] = this.scene.scale;
    return number(g) > 0 ? clamp(Math.log(number(g) / low) / Math.log(high / low), 0, 1) : 0;
  }

  shade(g) {
    if (!Number.isFinite(number(g))) return "bad";
    return g ? `g${Math.min(Math.floor(this.level(g) * shades), shades - 1)}` : "zero";
  }

  // ------------------------------------------------------------------------------- what is seen

  resize() {
    const { columns, pitch, height } = this.scene;
    const pixels = this.host.clientWidth;
    if (!pixels || pixels === this.pixels) return;
    this.pixels = pixels;
    const bands = Math.max(0, ...this.scene.bands.map((band) => band.w));
    const all = pixels / (MARGIN + Math.max(columns * pitch, bands) + 1);
    const scale = clamp(all, SMALLEST, 1.1);
    this.room = pixels / scale;
    this.width = Math.min(this.room - MARGIN, Math.max(columns * pitch, bands)); // of time that is seen
    this.margin = MARGIN * scale; // in pixels
    this.steps = Math.max(1, Math.floor(this.width / pitch));
    this.lens.setAttribute("viewBox", `0 0 ${this.room} ${height + 34}`);
    this.panned.style.display = columns * pitch > this.width + 1 ? "" : "none";
    this.pan.max = Math.max(0, columns - this.steps);
    this.offset = clamp(this.offset, 0, this.last());
    this.draw();
  }

  last() { return Math.max(0, this.scene.columns * this.scene.pitch - this.width); }

  look(offset) {
    const before = this.offset;
    this.offset = clamp(offset, 0, this.last());
    if (this.offset !== before) this.draw();
  }

  reveal(i) {
    const c = this.scene.column[i];
    if (c < 0) return;
    const left = c * this.scene.pitch;
    if (left < this.offset || left + this.scene.cell > this.offset + this.width) {
      this.look(left + this.scene.cell - this.width * (left < this.offset ? 1 : 0.75));
    }
  }

  // ------------------------------------------------------------------------------- drawing

  draw() {
    const active = this.lens.contains(document.activeElement) ? document.activeElement.dataset.key : null;
    this.nodes = new Map();
    this.paths = [];
    const { columns, pitch, cell, height, rows, bands } = this.scene;
    const time = element("svg", { x: MARGIN, y: 0, width: this.width, height: height + 34, viewBox: `${this.offset} 0 ${this.width} ${height + 34}` });
    const first = Math.max(0, Math.floor(this.offset / pitch) - 1);
    const last = Math.min(columns - 1, Math.ceil((this.offset + this.width) / pitch));
    const near = Array.from({ length: Math.max(0, last - first + 1) }, (_, k) => first + k);
    const names = element("g");
    const below = element("g");
    const above = element("g");
    const marks = element("g");
    for (const row of rows) this.names(names, row.title, row);
    for (const band of bands) {
      below.append(this.rect("band", MARGIN + 0.5, band.y, this.width - 1, band.h));
      this.names(names, "", band);
      for (const [y] of band.buses) below.append(element("path", { class: "bus", d: `M${MARGIN} ${y}h${this.width}` }));
    }
    for (const c of near) time.append(this.moved(c * pitch, this.edges(c, true)));
    rows.forEach((row) => {
      const here = near.filter((c) => row.columns[0] <= row.columns.at(-1)
        ? c >= row.columns[0] && c <= row.columns.at(-1) : c <= row.columns[0] && c >= row.columns.at(-1));
      if (!here.length) return;
      const left = here[0] * pitch, right = here.at(-1) * pitch + cell;
      if (row.compiled) time.append(this.rect("step", left, row.y, right - left, row.h));
      else for (const c of here) time.append(this.rect("step", c * pitch, row.y, cell, row.h));
      const start = Math.min(left, this.offset);
      for (const [y] of row.buses) time.append(element("path", { class: "bus", d: `M${start} ${y}H${right}` }));
    });
    const every = Math.max(1, Math.ceil(52 / pitch));
    for (const c of near) {
      if (c % every) continue;
      const label = element("text", { class: "time", x: c * pitch + cell / 2, y: height + 22 }, every > 1 ? `${c}` : `t = ${c}`);
      marks.append(label);
    }
    for (const c of near) time.append(this.moved(c * pitch, this.edges(c)));
    for (const c of near) time.append(this.moved(c * pitch, this.pills(c)));
    rows.forEach((row, k) => {
      if (!row.compiled) return;
      const low = Math.max(Math.min(row.columns[0], row.columns.at(-1)) * pitch, this.offset);
      const high = Math.min(Math.max(row.columns[0], row.columns.at(-1)) * pitch + cell, this.offset + this.width);
      if (low > high) return;
      row.note.forEach((note, n) => time.append(element("text", { class: "note", x: low + 16, y: row.y + 22 + 16 * n }, note)));
      time.append(this.moved((low + high) / 2, [...this.edges(-2 - k), ...this.pills(-2 - k)]));
    });
    time.append(marks);
    const widest = Math.max(1, ...bands.map((band) => band.w)), fit = Math.min(1, this.width / widest);
    above.append(...this.edges(-1), ...this.pills(-1));
    above.setAttribute("transform", `translate(${MARGIN + this.width / 2} 0) scale(${fit} 1)`);
    this.lens.replaceChildren(below, names, time, above);
    this.pan.value = Math.round(this.offset / pitch);
    const to = Math.min(columns, Math.floor((this.offset + this.width + 1) / pitch + 0.2));
    this.panned.lastChild.textContent = `t = ${Math.round(this.offset / pitch)} to ${to - 1}, of ${columns}`;
    this.overview();
    this.light();
    if (active) this.lens.querySelector(`[data-key="${active}"]`)?.focus();
  }

  rect(kind, x, y, width, height, r = 9) { return element("rect", { class: kind, x, y, width, height, rx: r }); }

  moved(x, parts) { return element("g", { transform: `translate(${x} 0)` }, ...parts); }

  edges(frame, behind = false) {
    return (this.frames.get(frame)?.edges ?? []).flatMap(([i, [, , g, ...paths]]) =>
      paths.slice(behind ? 1 : 0, behind ? 2 : 1).map((path) => {
        const made = element("path", {
          class: `edge ${this.shade(g)}`, d: this.scene.paths[path], "stroke-width": (1 + 5 * this.level(g)).toFixed(2), "data-line": i,
        });
        this.paths.push([i, made]);
        return made;
      }));
  }

  pills(frame) {
    const { ops, op, spots, spot, shape, gradient } = this.scene;
    return (this.frames.get(frame)?.nodes ?? []).map((i) => {
      const [name, family, sign] = ops[op[i]];
      const [x, y] = spots[spot[i]];
      const text = frame < 0 ? name : sign;
      const width = Math.max(26, 6.4 * text.length + 11);
      const made = element("g", {
        class: `node ${family}`, tabindex: 0, role: "img", "data-key": `n${i}`, "data-line": i,
        "aria-label": `${name}, ${this.place(i)}, shape ${shape[i]}, gradient norm ${figure(gradient[i])}`,
      },
      this.rect("", x - width / 2, y - 12, width, 24, 12),
      element("text", frame >= 0 && text.length === 1 ? { x, y, class: "sign" } : { x, y }, text));
      this.nodes.set(i, made);
      return made;
    });
  }

  names(host, title, part) {
    if (title) {
      host.append(element("text", { class: "name", x: 0, y: part.y + 20 }, short(title, 20)));
    }
    for (const [y, leaves] of part.buses) {
      let x = 0;
      for (const [k, label] of leaves) {
        const leaf = this.scene.leaves[k], width = 7.2 * label.length + 14;
        host.append(element("g", {
          class: "leaf", tabindex: 0, role: "img", "data-key": `w${k}`, "data-leaf": k,
          "aria-label": `${leaf.name}, shape ${leaf.shape}, gradient norm ${figure(leaf.gradient)}`,
        }, this.rect("", x, y - 8, width, 16, 3), element("text", { x: x + 7, y: y - 0.5 }, label)));
        x += width + 6;
      }
      host.append(element("path", { class: "bus", d: `M${x} ${y}H${MARGIN}` }));
    }
  }

  // All of time, each layer a row of colours; steps that would be narrower than a pixel share one.
  overview() {
    const { columns, rows, pitch } = this.scene;
    const steps = rows.filter((row) => !row.compiled);
    this.strip.style.display = steps.length ? "" : "none";
    if (!steps.length) return;
    const tall = 16, left = this.margin, width = this.pixels - left, height = steps.length * tall + 2;
    this.strip.setAttribute("viewBox", `0 -2 ${this.pixels} ${height + 2}`);
    this.strip.setAttribute("aria-label", "The gradient of what each step hands on, over all of time");
    const bins = Math.min(columns, Math.floor(width / 2)), wide = width / bins;
    const parts = [];
    this.bins = [];
    const order = [...rows.keys()].filter((k) => !rows[k].compiled).sort((a, b) => rows[a].y - rows[b].y);
    order.forEach((k, at) => {
      const row = rows[k], most = new Map(), young = new Map();
      row.columns.forEach((c, t) => {
        const bin = Math.min(bins - 1, Math.floor((c * bins) / columns)), g = number(row.heat[t]);
        if (!most.has(bin) || Number.isNaN(g) || g > most.get(bin)) most.set(bin, g);
        young.set(bin, Math.max(young.get(bin) ?? 0, this.youngest[k].get(c)));
      });
      parts.push(element("text", { class: "note", x: 0, y: at * tall + 11.5 }, short(row.title, left / 7)));
      for (const [bin, g] of most) {
        const made = element("rect", { class: `heat ${this.shade(g)}`, x: (left + bin * wide).toFixed(2), y: at * tall, width: Math.max(wide - (wide > 6 ? 1 : -0.3), 0.5).toFixed(2), height: tall - 2 });
        const from = Math.ceil(bin * columns / bins), to = Math.max(from, Math.ceil((bin + 1) * columns / bins) - 1);
        made.append(element("title", {}, `${row.name}, t = ${from === to ? from : `${from} to ${to}`}: gradient ${figure(g)}`));
        this.bins.push([young.get(bin), made]);
        parts.push(made);
      }
    });
    const share = width / (columns * pitch);
    const seen = Math.min(this.width, columns * pitch - this.offset) * share;
    const frame = this.rect("frame", left + this.offset * share - 1, -1, seen + 1, steps.length * tall, 3);
    if (columns * pitch <= this.width + 1) frame.style.display = "none";
    this.strip.replaceChildren(...parts, frame);
  }

  // ------------------------------------------------------------------------------- the walk

  // The line that the walk is at: the youngest comes first.
  get now() { return this.done ? this.lines - this.done : null; }

  go(done) {
    this.began = true;
    this.done = clamp(done, 0, this.lines);
    if (this.now !== null) this.reveal(this.now);
    this.light();
  }

  light() {
    const passed = this.lines - this.done;
    const now = this.began ? this.now : null;
    for (const [i, path] of this.paths) path.classList.toggle("later", i < passed);
    for (const [i, node] of this.nodes) {
      node.classList.toggle("later", i < passed);
      node.classList.toggle("now", i === now);
    }
    for (const [young, bin] of this.bins ?? []) bin.classList.toggle("later", young < passed);
    this.numbers.show();
  }

  place(i) {
    const { column, spots, spot, rows, place } = this.scene;
    const row = rows[spots[spot[i]][2]];
    const t = column[i] >= 0 ? ` · t = ${column[i]}` : "";
    const where = row ? row.name : "outside of time";
    return (place[i] && place[i] !== where && place[i].startsWith(where) ? place[i] : where) + t;
  }

  point(target) {
    const part = target?.closest?.(".node, .leaf");
    const inside = part && this.lens.contains(part) ? part : null;
    this.seen?.classList.remove("seen");
    this.seen = inside;
    inside?.classList.add("seen");
    this.numbers.show();
  }
}
