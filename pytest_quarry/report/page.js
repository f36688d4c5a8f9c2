"use strict";
// Draws a failure when it is opened. What comes from a consumer goes into text nodes and into nothing else.
(() => {
  const SVG = "http://www.w3.org/2000/svg";
  const WORLD = new Set(["wrote", "notified", "delivered", "waited", "broke", "healed", "damaged", "littered", "settling", "settled", "dead-lettered"]);
  const LIVES_END = new Set(["killed", "ended", "hung"]);
  const LEGEND = {
    write: "storage written", deliver: "delivered", duplicate: "delivered again", crash: "killed", restart: "restarted, or stopped",
    lost: "an answer lost", fault: "something failed", error: "it raised, or ended", stuck: "it does not come back",
    dead: "dead-lettered", told: "acknowledged", effect: "the target changes", note: "something else durable changes",
  };
  const TAGS = { duplicate: "again", lost: "answer lost", crash: "", fault: "fault", error: "error", stuck: "stuck", dead: "dead letter" };
  const NARROW = matchMedia("(max-width: 56rem)");
  const UNSEEN = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]/g;

  let parsed = null;
  const USUAL = { worker: 0, incarnation: 0, changed: false, mark: "", here: false, world: "", consumer: "", target: "",
    gained: [], lost: [], added: [], removed: [], message: null }; // what a step leaves out
  function failureOf(number) {
    parsed ??= JSON.parse(document.getElementById("data").textContent);
    const failure = parsed[number];
    return { ...failure, steps: failure.steps.map((step) => ({ ...USUAL, ...step })) };
  }

  /** One line in which nothing unseen is left. Pairs of surrogates are a character; a single one is spelt out. */
  function shown(text) {
    return Array.from(String(text), (character) =>
      character.length > 1 ? character : character.replace(UNSEEN, (c) => "\\u" + c.charCodeAt(0).toString(16).padStart(4, "0")),
    ).join("");
  }
  const shownLines = (text) => String(text).split("\n").map((line) => shown(line.replaceAll("\t", "    "))).join("\n");

  function element(tag, attributes = {}, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (value !== null && value !== undefined && value !== false) made.setAttribute(name, value === true ? "" : value);
    }
    made.append(...children.filter((child) => child !== null));
    return made;
  }
  function drawn(tag, attributes, ...children) {
    const made = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.append(...children);
    return made;
  }
  const isolated = (text) => element("bdi", {}, shown(text));

  function clock(seconds) {
    if (seconds < 7200) return `${Math.round(seconds)} s`;
    return seconds < 172800 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86400)} d`;
  }

  /** The lines of the table: each step that has a number, with the quiet ones before it, and what storage held then. */
  function linesOf(failure) {
    const lines = [];
    const keys = new Set();
    let quiet = [];
    for (const step of failure.steps) {
      for (const key of step.removed) keys.delete(key);
      for (const key of step.added) keys.add(key);
      const last = lines.at(-1);
      if (step.number === null) quiet.push(step);
      else if (last && last.number === step.number) Object.assign(last, { world: step.world, time: step.time, keys: [...keys] });
      else {
        lines.push({ ...step, quiet, keys: [...keys] });
        quiet = [];
      }
    }
    if (quiet.length && lines.length) lines.at(-1).after = quiet;
    return lines;
  }

  // What is drawn for each mark, around (0, 0).
  const SHAPES = {
    write: () => [drawn("rect", { x: -4.5, y: -4.5, width: 9, height: 9, class: "shape" })],
    deliver: () => [drawn("circle", { r: 5, class: "shape mark" })],
    duplicate: () => [drawn("circle", { r: 6.5, class: "shape mark" }), drawn("circle", { r: 3, class: "full mark" })],
    crash: () => [drawn("path", { d: "M-7-7 7 7M7-7-7 7", class: "shape bad" })],
    restart: () => [drawn("path", { d: "M-4-4 4 4M4-4-4 4", class: "shape" })],
    lost: () => [drawn("circle", { r: 5.5, class: "shape bad", "stroke-dasharray": "2.5 2.5" }), drawn("path", { d: "M-7 7 7-7", class: "shape bad" })],
    fault: () => [drawn("path", { d: "M0-6 6 5H-6Z", class: "shape bad" })],
    error: () => [drawn("path", { d: "M0-7V2M0 5V7", class: "shape bad" })],
    stuck: () => [drawn("rect", { x: -5, y: -5, width: 10, height: 10, class: "full bad" })],
    dead: () => [drawn("path", { d: "M0-7V7M-4-3H4", class: "shape bad" })],
    told: () => [drawn("path", { d: "M-5 0-1 4 6-5", class: "shape mark" })],
    effect: () => [drawn("circle", { r: 5, class: "full" })],
    note: () => [drawn("path", { d: "M0-5.5 5.5 0 0 5.5-5.5 0Z", class: "full mark" })],
    here: () => [drawn("circle", { r: 13, class: "halo" }), drawn("circle", { r: 6, class: "full bad" })],
  };
  const markOf = (line) => line.mark || ({ wrote: "write", delivered: "deliver" })[line.what] || "";

  /** The timeline: lanes from top to bottom, steps from left to right in even distances (times would hide the crowd). */
  function timeline(lines, publisher) {
    const workers = [...new Set(lines.filter((line) => !WORLD.has(line.what)).map((line) => line.worker || 1))].sort();
    const names = ["world", ...(workers.length > 1 ? workers.map((n) => `worker ${n}`) : ["consumer"]), "checkpoint", publisher ? "topic" : "target"];
    const gap = 34;
    const y = (lane) => 28 + lane * gap; // below the numbers of the steps
    const last = names.length - 1;
    const laneOf = (line) => (WORLD.has(line.what) ? 0 : 1 + Math.max(0, workers.indexOf(line.worker || 1)));
    const x = (at) => `${((at + 0.5) / lines.length) * 100}%`;
    const label = `Timeline of ${lines.length} steps; the list below says the same in words.`;
    const picture = drawn("svg", { height: y(last) + 28, role: "img", "aria-label": label });
    const cursor = drawn("rect", { y: 0, width: `${Math.max(100 / lines.length, 0.8)}%`, height: y(last) + 20, rx: 4, class: "cursor" });
    picture.append(cursor);
    const every = lines.length <= 30 ? 5 : 10;
    lines.forEach((line, at) => {
      if (at === 0 || line.number % every === 0) picture.append(drawn("text", { x: x(at), y: 10, class: "tick" }, String(line.number)));
    });
    names.forEach((_, lane) => picture.append(drawn("line", { x1: 0, x2: "100%", y1: y(lane), y2: y(lane), class: "lane" })));
    lives(lines, workers).forEach(({ lane, from, to }) =>
      picture.append(drawn("line", { x1: x(from), x2: x(to), y1: y(lane), y2: y(lane), class: "alive" })),
    );
    const link = (at, one, other) => picture.append(drawn("line", { x1: x(at), x2: x(at), y1: y(one), y2: y(other), class: "link" }));
    const place = (at, lane, mark) => picture.append(drawn("svg", { x: x(at), y: y(lane), overflow: "visible" }, ...SHAPES[mark]()));
    lines.forEach((line, at) => {
      const mark = markOf(line);
      const lane = laneOf(line);
      if (line.what === "delivered") link(at, 0, 1 + Math.max(0, workers.indexOf(line.worker || 1)));
      if (mark === "told") link(at, lane, 0);
      if (mark === "effect" || mark === "note") {
        const to = mark === "note" ? last - 1 : last;
        if (lane) link(at, lane, to);
        place(at, to, line.here && mark === "effect" ? "here" : mark);
      } else if (mark) place(at, lane, mark);
      if (line.here) {
        if (mark !== "effect") picture.append(drawn("svg", { x: x(at), y: y(lane), overflow: "visible" }, drawn("circle", { r: 13, class: "halo" })));
        const anchor = at > lines.length * 0.75 ? "end" : at < lines.length * 0.25 ? "start" : "middle";
        picture.append(drawn("text", { x: x(at), y: y(last) + 22, class: "words", "text-anchor": anchor }, "first wrong effect"));
      }
    });
    picture.style.minWidth = `${lines.length * 14}px`; // a long history is not squeezed: it scrolls
    const drawing = element("div", { class: "drawing" }, picture);
    const move = (at) => {
      const left = (at / lines.length) * drawing.scrollWidth;
      cursor.setAttribute("x", `${(at / lines.length) * 100}%`);
      if (left < drawing.scrollLeft || left + 30 > drawing.scrollLeft + drawing.clientWidth) drawing.scrollLeft = left - drawing.clientWidth / 2;
    };
    const labels = element("div", { class: "lanes", "aria-hidden": "true" }, ...names.map((name) => element("span", {}, name)));
    return { picture, drawing, labels, move };
  }

  /** From when to when each process was there. */
  function lives(lines, workers) {
    const found = [];
    workers.forEach((worker, index) => {
      let from = null;
      lines.forEach((line, at) => {
        if (WORLD.has(line.what) || (line.worker || 1) !== worker) return;
        if (LIVES_END.has(line.what)) {
          if (from !== null) found.push({ lane: index + 1, from, to: at });
          from = null;
        } else if (from === null || line.what === "started") from = at;
      });
      if (from !== null) found.push({ lane: index + 1, from, to: lines.length - 1 });
    });
    return found;
  }

  function legend(lines, publisher) {
    const words = publisher ? { ...LEGEND, effect: "the topic accepts a message" } : LEGEND;
    const used = new Set(lines.map(markOf));
    return element("ul", { class: "legend", "aria-hidden": "true" }, ...Object.keys(LEGEND).filter((mark) => used.has(mark)).map((mark) =>
      element("li", {}, drawn("svg", { viewBox: "-9 -9 18 18" }, ...SHAPES[mark]()), words[mark]),
    ));
  }

  const columns = (publisher) => element("div", { class: "columns", "aria-hidden": "true" },
    ...[["n", "step"], ["t", "time"], ["w", "world"], ["c", "consumer"], ["g", publisher ? "topic" : "target"]].map(([name, words]) => element("span", { class: name }, words)));

  function stepButton(line) {
    const tag = TAGS[line.mark] ? element("span", { class: line.mark === "duplicate" ? "tag" : "tag bad" }, TAGS[line.mark]) : "";
    const here = line.here ? element("span", { class: "tag bad" }, "first wrong effect") : "";
    return element("button", { type: "button", class: `step${line.mark ? " is-" + line.mark : ""}${line.here ? " here" : ""}`, tabindex: -1 },
      element("span", { class: "n" }, String(line.number)),
      element("span", { class: "t" }, clock(line.time)),
      element("span", { class: "w" }, ...(line.world ? [isolated(line.world), line.consumer ? "" : tag] : [])),
      element("span", { class: "c" }, ...(line.consumer ? [isolated(line.consumer), tag] : [])),
      element("span", { class: "g" }, ...(line.target || line.here ? [isolated(line.target), here] : [])),
    );
  }

  /** The storage as a tree; keys that came with this step are marked. */
  function tree(keys, added) {
    const root = new Map();
    for (const key of keys) {
      let level = root;
      for (const part of key.split("/")) level = level.get(part) ?? level.set(part, new Map()).get(part);
    }
    const grow = (level, path, attributes) => element("ul", attributes, ...[...level].map(([part, below]) => {
      let name = part;
      let at = path + part;
      while (below.size === 1) { // a folder with one entry is no line of its own
        const [only, next] = [...below][0];
        name += "/" + only;
        at += "/" + only;
        below = next;
      }
      return element("li", { class: !below.size && added.includes(at) ? "new" : null }, isolated(name), ...(below.size ? ["/", grow(below, at + "/", {})] : []));
    }));
    return grow(root, "", { class: "tree" });
  }

  const row = ([run, item]) => (item === null ? run : `${run} · ${item}`);
  const list = (title, items) => (items.length ? [element("h5", {}, title), element("ul", {}, ...items)] : []);
  const quietItem = (step) => element("li", {}, isolated(`${step.time.toFixed(3)} s  ${step.what === "crossed" ? "" : step.what + " "}${step.text}`));

  function detailOf(line) {
    const facts = [["time", `${line.time.toFixed(3)} s`], ["what", line.what], ["text", line.text]];
    if (line.worker) facts.push(["worker", String(line.worker)]);
    if (line.incarnation) facts.push(["process", `${line.incarnation}. of this consumer`]);
    facts.push(["durable", line.changed ? "something changed" : "nothing changed"]);
    const message = line.message ? [element("h5", {}, "Message"), element("pre", {}, shownLines(line.message.text)),
      ...list("Attributes", Object.entries(line.message.attributes).map(([name, value]) => element("li", {}, isolated(`${name}: ${value}`))))] : [];
    return [
      element("h4", {}, `Step ${line.number}`),
      element("dl", {}, ...facts.flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, isolated(value))])),
      ...list("Rows", [...line.gained.map((one) => element("li", { class: "gained" }, isolated(row(one)))), ...line.lost.map((one) => element("li", { class: "lost" }, isolated(row(one))))]),
      ...message,
      ...list("Operations before it that changed nothing", line.quiet.map(quietItem)),
      ...list("After it", (line.after ?? []).map(quietItem)),
      ...(line.keys.length ? [element("h5", {}, `Storage at this step: ${line.keys.length} files`), tree(line.keys.sort(), line.added)] : []),
    ];
  }

  function player(failure) {
    const lines = linesOf(failure);
    if (!lines.length) return [];
    const publisher = lines.some((line) => line.what === "asked" || line.message);
    const { picture, drawing, labels, move } = timeline(lines, publisher);
    const buttons = lines.map(stepButton);
    const detail = element("section", { class: "detail", "aria-label": "The step in detail", tabindex: 0 });
    const at = element("span", { class: "at", "aria-live": "polite" });
    const button = (words, label, act) => {
      const made = element("button", { type: "button", "aria-label": label }, words);
      made.addEventListener("click", act);
      return made;
    };
    const wrong = lines.findIndex((line) => line.here);
    let current = -1;
    function go(to, focus) {
      const next = Math.min(lines.length - 1, Math.max(0, to));
      if (next !== current) {
        buttons[current]?.removeAttribute("aria-current");
        buttons[current]?.setAttribute("tabindex", "-1");
        current = next;
        buttons[current].setAttribute("aria-current", "step");
        buttons[current].setAttribute("tabindex", "0");
        at.textContent = `Step ${lines[current].number} of ${lines.at(-1).number}`;
        detail.replaceChildren(...detailOf(lines[current]));
        detail.scrollTop = 0;
        place();
        move(current);
        back.disabled = current === 0;
        forward.disabled = current === lines.length - 1;
      }
      if (focus) buttons[current].focus({ preventScroll: true });
      if (focus) buttons[current].scrollIntoView({ block: "nearest" });
    }
    const back = button("◀ Back", "Step back", () => go(current - 1));
    const forward = button("Forward ▶", "Step forward", () => go(current + 1));
    const steps = element("ol", { class: "steps", "aria-label": "Steps" }, ...buttons.map((one) => element("li", {}, one)));
    const all = element("div", { class: "play" },
      element("figure", { class: "timeline" }, labels, drawing, legend(lines, publisher)),
      element("div", { class: "controls", role: "group", "aria-label": "Move through the steps" }, back, forward, at,
        wrong >= 0 ? button("First wrong effect", "Go to the first wrong effect", () => go(wrong, true)) : null,
        element("span", { class: "keys" }, "arrow keys, Home, End")),
      element("div", { class: "player" }, element("div", {}, columns(publisher), steps), detail));
    const place = () => {
      if (NARROW.matches) buttons[current].after(detail); // where the eye is
      else if (detail.parentElement !== all.lastChild) all.lastChild.append(detail);
    };
    NARROW.addEventListener("change", () => all.isConnected && place());
    buttons.forEach((one, number) => one.addEventListener("click", () => go(number)));
    picture.addEventListener("click", (event) => {
      const box = picture.getBoundingClientRect();
      go(Math.floor(((event.clientX - box.left) / box.width) * lines.length));
    });
    all.addEventListener("keydown", (event) => {
      if (event.altKey || event.ctrlKey || event.metaKey || detail.contains(event.target)) return;
      const to = { ArrowRight: current + 1, ArrowDown: current + 1, ArrowLeft: current - 1, ArrowUp: current - 1, Home: 0, End: lines.length - 1 }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      go(to, true);
    });
    go(wrong >= 0 ? wrong : 0);
    queueMicrotask(() => move(current)); // once it is in the page and has a width
    return [all];
  }

  function rowsTable(failure) {
    if (!failure.rows.length) return [];
    const cell = (tag, text, number) => element(tag, { class: number ? "number" : null, scope: tag === "th" ? "col" : null }, text);
    const body = failure.rows.map((one) => element("tr", { class: one.expected === one.found ? null : "wrong" },
      cell("td", isolated(one.run_id)), cell("td", one.item === null ? "the run as a whole" : isolated(one.item)),
      cell("td", String(one.expected), true), cell("td", `${one.found}${one.expected === one.found ? "" : one.found > one.expected ? " ▲" : " ▼"}`, true)));
    return [
      element("h3", {}, "The target at the end: expected against found"),
      element("table", {}, element("thead", {}, element("tr", {}, cell("th", "run"), cell("th", "item"), cell("th", "expected", true), cell("th", "found", true))), element("tbody", {}, ...body)),
      ...(failure.rows_left_out ? [element("p", { class: "note" }, `${failure.rows_left_out} more rows are not shown.`)] : []),
    ];
  }

  function say(words) {
    const said = document.getElementById("said");
    said.textContent = words;
    setTimeout(() => said.textContent === words && (said.textContent = ""), 2500);
  }

  async function copy(code) {
    try {
      await navigator.clipboard.writeText(code.textContent);
      say("Copied");
    } catch { // a page opened as a file may not: select it, so that one key does it
      getSelection().selectAllChildren(code);
      say(document.execCommand("copy") ? "Copied" : "Selected: copy it with your keyboard");
    }
  }

  function replay(failure) {
    if (!failure.replay) return [];
    const code = element("code", {}, shown(failure.replay));
    const button = element("button", { type: "button" }, "Copy");
    button.addEventListener("click", () => copy(code));
    return [element("h3", {}, "Play it again"), element("div", { class: "replay" }, code, button)];
  }

  function explained({ id, docs }) {
    if (!docs) return [];
    if (docs !== `checks/${id}`) return [element("p", { class: "note" }, "Documented at ", isolated(docs))]; // a team's own
    return [element("p", { class: "note" }, "Why it happens in production, and a repaired consumer: ",
      element("code", {}, `quarry-conformance explain ${id}`), `, or ${docs} of the documentation`)];
  }

  const more = (title, text) => (text ? [element("details", { class: "more" }, element("summary", {}, title), element("pre", { tabindex: 0 }, shownLines(text)))] : []);

  function draw(story, failure) {
    story.replaceChildren(
      element("p", { class: "note" }, `${shown(failure.check.id)} states: ${shown(failure.check.states)}`),
      ...(failure.why ? [element("p", { class: "why" }, shownLines(failure.why))] : []),
      ...(failure.fix ? [element("p", { class: "fix" }, element("b", {}, "The usual fix: "), shown(failure.fix))] : []),
      ...player(failure),
      ...(failure.steps_left_out ? [element("p", { class: "note" }, `${failure.steps_left_out} steps of this long history are not shown.`)] : []),
      ...rowsTable(failure),
      ...replay(failure),
      ...explained(failure.check),
      ...more("What the consumer printed", failure.output),
      ...more("Where it stood", failure.stack),
      ...more("The schedule", failure.schedule && JSON.stringify(failure.schedule, null, 2)),
      ...more("As text", failure.text),
    );
  }

  document.addEventListener("toggle", (event) => {
    const details = event.target;
    const number = details.dataset?.failure;
    if (number === undefined) return;
    const story = details.querySelector(".story");
    if (details.open) draw(story, failureOf(number));
    else story.replaceChildren(); // so that a page with hundreds of them stays light
  }, true);

  document.querySelector("form.counts").addEventListener("change", () => {
    const wanted = new Set(Array.from(document.querySelectorAll("input[name=status]:checked"), (box) => box.value));
    for (const check of document.querySelectorAll(".check")) check.hidden = !wanted.has(check.dataset.status);
    for (const consumer of document.querySelectorAll(".consumer")) consumer.hidden = !consumer.querySelector(".check:not([hidden])");
  });
  const first = document.querySelector('.check[data-status="failed"] details, .check[data-status="inconclusive"] details');
  if (first && document.querySelectorAll("details[data-failure]").length <= 3) first.open = true;
})();
