/* The overview: open incidents and what is not up, large; beside them every target by agency.

   On a wall nothing scrolls: tiles take the greatest height at which all of them fit, agencies flow from column to
   column, and what cannot be shown is counted, never cut off in silence. Elsewhere the page is an ordinary one. */
(function () {
  "use strict";
  const ts = (window.thongsuot = window.thongsuot || {});
  const React = window.React;
  const h = React.createElement;

  const WALL = "(min-width: 1500px) and (min-height: 800px)";
  const HEAD = 19;
  const LABEL = 14;
  const AFTER = 2;
  const SHORT = 15;
  const GAP = 8;
  const TILES = [[58, 230], [52, 220], [46, 210], [42, 200], [38, 190], [35, 180], [32, 170], [30, 160], [28, 146], [26, 146], [28, 134], [26, 134], [24, 130]];

  /* A group has no latency of its own: one line holds it. */
  const isShort = (row) => !row[4] && row[5] === "—";

  /* Lays agencies into columns of the given height; null when they do not fit. */
  function place(agencies, columns, height, tile) {
    const laid = [[]];
    let room = height;
    const next = () => {
      laid.push([]);
      room = height;
      return laid.length <= columns;
    };
    for (const agency of agencies) {
      let begun = false;
      const begin = (needed) => {
        if (begun && room >= needed) return true;
        if (room < HEAD + needed && !next()) return false;
        laid[laid.length - 1].push({ kind: "agency", agency, continued: begun });
        room -= HEAD;
        begun = true;
        return true;
      };
      if (!agency.groups.length && !begin(0)) return null;
      for (const group of agency.groups) {
        let labelled = !group.label;
        for (const row of group.rows) {
          const before = laid.length;
          const height = isShort(row) ? SHORT : tile;
          if (!begin(height + (labelled ? 0 : LABEL))) return null;
          if (!labelled || (group.label && laid.length !== before)) {
            laid[laid.length - 1].push({ kind: "label", text: group.label });
            room -= LABEL;
            labelled = true;
          }
          laid[laid.length - 1].push({ kind: "tile", row });
          room -= height;
        }
      }
      if (agency.hidden && agency.groups.length) {
        if (room < LABEL && !next()) return null;
        laid[laid.length - 1].push({ kind: "hidden", count: agency.hidden });
        room -= LABEL;
      }
      room -= AFTER;
    }
    return laid;
  }

  /* An agency without its targets that are up: they are counted in its heading. */
  function folded(agency) {
    let hidden = agency.hidden;
    const groups = agency.groups
      .map((group) => {
        const rows = group.rows.filter((row) => row[3] !== "up");
        hidden += group.rows.length - rows.length;
        return { label: group.label, rows };
      })
      .filter((group) => group.rows.length);
    return Object.assign({}, agency, { groups, hidden });
  }

  const WORST = ["down", "unknown", "degraded", "up"];

  /* An agency with its `limit` worst targets; the others are counted. */
  function cut(agency, limit) {
    const rows = agency.groups.flatMap((group) => group.rows);
    if (rows.length <= limit) return agency;
    const worst = rows.slice().sort((a, b) => WORST.indexOf(a[3]) - WORST.indexOf(b[3]));
    const kept = new Set(worst.slice(0, limit));
    const groups = agency.groups
      .map((group) => ({ label: group.label, rows: group.rows.filter((row) => kept.has(row)) }))
      .filter((group) => group.rows.length);
    return Object.assign({}, agency, { groups, hidden: agency.hidden + rows.length - limit });
  }

  function size(agency) {
    return agency.groups.reduce((sum, group) => sum + group.rows.length, 0);
  }

  function arrange(agencies, box) {
    const most = (width) => Math.max(1, Math.floor((box.width + GAP) / (width + GAP)));
    for (const [tile, width] of TILES) {
      for (let columns = Math.max(1, most(width) - 2); columns <= most(width); columns++) {
        const laid = place(agencies, columns, box.height, tile);
        if (laid) return { laid, columns, tile };
      }
    }
    const [tile, width] = TILES[TILES.length - 1];
    const columns = most(width);
    let current = agencies.slice();
    const largest = agencies.map((agency, i) => [size(agency), i]).sort((a, b) => b[0] - a[0]);
    for (const [, i] of largest) {
      current[i] = folded(current[i]);
      const laid = place(current, columns, box.height, tile);
      if (laid) return { laid, columns, tile };
    }
    // A night on which everything fails: the worst of each agency, the others counted.
    for (const limit of [40, 20, 12, 8, 5, 3, 2, 1, 0]) {
      const laid = place(current.map((agency) => cut(agency, limit)), columns, box.height, tile);
      if (laid) return { laid, columns, tile };
    }
    return { laid: null, agencies: current, tile };
  }

  const Tile = React.memo(
    ({ row, word, short }) => {
      const [id, name, part, state, spark, latency, availability, note] = row;
      const label = [name, word, note, latency, availability].filter(Boolean).join(" · ");
      const figure = h("span", { className: `figure${/%$/.test(availability) && availability !== "100%" ? " is-short-of-whole" : ""}` }, availability);
      return h(
        ts.Link,
        { href: ts.targetHref(id), className: `tile is-${state}${short ? " is-short" : ""}`, title: label, "aria-label": label },
        h("span", { className: "tile-name" }, h(ts.Shape, { state }), h(ts.Clipped, { text: part }), short && figure),
        !short && h("span", { className: "tile-figures" }, h(ts.Spark, { letters: spark }), h("span", { className: "figure" }, latency), figure),
      );
    },
    (a, b) => a.word === b.word && a.short === b.short && a.row.every((part, i) => part === b.row[i]),
  );

  const AgencyHead = ({ agency, continued, words }) =>
    h(
      "h3",
      { className: "agency", title: agency.full },
      h(ts.Clipped, { text: continued ? `${agency.name} ${words.continued}` : agency.name }),
      !continued && h("span", { className: "agency-counts" }, agency.counts.filter(([state], i) => state !== "up" || !i).map(([state, count]) => h("span", { key: state, className: `is-${state}` }, h(ts.Shape, { state }), count))),
    );

  const Hidden = ({ count, words }) => h("p", { className: "hidden-count" }, ts.fill(words.more, { count }));

  function Laid({ arranged, words, stateWords }) {
    const style = { "--tile": `${arranged.tile}px`, "--columns": arranged.columns };
    return h(
      "div",
      { className: `columns${arranged.tile < 38 ? " is-dense" : ""}`, style },
      arranged.laid.map((column, c) =>
        h(
          "div",
          { className: "column", key: c },
          column.map((entry, i) => {
            if (entry.kind === "agency") return h(AgencyHead, { key: `a${i}`, agency: entry.agency, continued: entry.continued, words });
            if (entry.kind === "label") return h("p", { key: `l${i}`, className: "label" }, entry.text);
            if (entry.kind === "hidden") return h(Hidden, { key: `h${i}`, count: entry.count, words });
            return h(Tile, { key: entry.row[0], row: entry.row, word: stateWords[entry.row[3]], short: isShort(entry.row) });
          }),
        ),
      ),
    );
  }

  function Flowing({ agencies, words, stateWords }) {
    return h(
      "div",
      { className: "flowing", style: { "--tile": "46px" } },
      agencies.map((agency) =>
        h(
          "section",
          { key: agency.id, className: "agency-block" },
          h(AgencyHead, { agency, words }),
          agency.groups.map((group) =>
            h(
              React.Fragment,
              { key: group.label },
              group.label && h("p", { className: "label" }, group.label),
              h("div", { className: "tiles" }, group.rows.map((row) => h(Tile, { key: row[0], row, word: stateWords[row[3]] }))),
            ),
          ),
          agency.hidden > 0 && agency.groups.length > 0 && h(Hidden, { count: agency.hidden, words }),
        ),
      ),
    );
  }

  function Board({ data, words, stateWords, wall }) {
    const [ref, box] = ts.useBox();
    const arranged = React.useMemo(() => (wall && box.height > 0 ? arrange(data.agencies, box) : null), [data, box, wall]);
    let inside = null;
    if (data.empty) inside = h("p", { className: "nothing" }, words.no_targets);
    else if (!data.agencies.length) inside = h("p", { className: "nothing" }, words.no_match);
    else if (arranged && arranged.laid) inside = h(Laid, { arranged, words, stateWords });
    else if (arranged || !wall) inside = h(Flowing, { agencies: arranged ? arranged.agencies : data.agencies, words, stateWords });
    return h("div", { className: `board${arranged && !arranged.laid ? " is-scrolling" : ""}`, ref }, inside);
  }

  const Incident = ({ incident }) =>
    h(
      "div",
      { className: `incident severity-${incident.level}` },
      h("p", { className: "incident-top" }, h("span", { className: "severity" }, incident.severity), h("span", { className: "code" }, incident.id), h("span", { className: "figure", title: incident.since }, incident.span)),
      h(ts.Link, { href: ts.targetHref(incident.target), className: "incident-name" }, incident.name),
      h("p", { className: "incident-reason" }, incident.reason, h("span", { className: "muted" }, ` · ${incident.since}`)),
      h(ts.Detail, { text: incident.message }),
      h("p", { className: "impact" }, h("b", null, incident.impact), incident.hurt.length > 0 && `: ${incident.hurt.join(", ")}`, incident.more && ` ${incident.more}`),
    );

  const Trouble = ({ row }) =>
    h(
      ts.Link,
      { href: ts.targetHref(row.id), className: `trouble is-${row.state}` },
      h(ts.Shape, { state: row.state }),
      h("span", { className: "trouble-name" }, h(ts.Clipped, { text: row.name })),
      h("span", { className: "figure" }, row.span),
      h("span", { className: "trouble-why" }, row.reason && h("span", { className: "unseen" }, `${row.word} · `), [row.reason || row.word, ...row.flags].join(" · ")),
      h("span", { className: "code" }, row.incident),
      h(ts.Detail, { text: row.message, as: "span" }),
    );

  function Watch({ data, words, wall, children }) {
    const { incidents, notUp } = data;
    return h(
      "aside",
      { className: "watch" },
      h(
        "section",
        { className: "panel incidents", "aria-label": words.incidents },
        h("h2", null, words.incidents, h("span", { className: "tally" }, incidents.total)),
        incidents.rows.length
          ? h(ts.FitList, { fit: wall, hidden: incidents.hidden, more: words.more, className: "incident-list" }, incidents.rows.map((incident) => h("li", { key: incident.id }, h(Incident, { incident }))))
          : h("p", { className: "all-well" }, h(ts.Shape, { state: "up" }), words.no_incidents),
      ),
      h(
        "section",
        { className: "panel not-up", "aria-label": words.not_up },
        h("h2", null, words.not_up, h("span", { className: "tally" }, notUp.total)),
        notUp.rows.length
          ? h(ts.FitList, { fit: wall, hidden: notUp.hidden, more: words.more, className: "trouble-list" }, notUp.rows.map((row) => h("li", { key: row.id }, h(Trouble, { row }))))
          : h("p", { className: "all-well" }, h(ts.Shape, { state: "up" }), data.empty ? words.no_targets : words.all_up),
      ),
      children,
    );
  }

  function useFilter() {
    const start = new URLSearchParams(window.location.search);
    const [wanted, setWanted] = React.useState({ q: start.get("q") || "", state: start.get("state") || "", type: start.get("type") || "" });
    const change = (part) =>
      setWanted((old) => {
        const next = Object.assign({}, old, part);
        const address = new URL(window.location.href);
        Object.entries(next).forEach(([name, value]) => (value ? address.searchParams.set(name, value) : address.searchParams.delete(name)));
        window.history.replaceState(window.history.state, "", address);
        return next;
      });
    return [wanted, change];
  }

  function useSlow(value, delay) {
    const [slow, setSlow] = React.useState(value);
    React.useEffect(() => {
      const timer = setTimeout(() => setSlow(value), delay);
      return () => clearTimeout(timer);
    }, [value, delay]);
    return slow;
  }

  function Filters({ wanted, change, words, states, types }) {
    const search = React.useRef(null);
    React.useEffect(() => {
      const listen = (event) => {
        const writing = /^(INPUT|SELECT|TEXTAREA)$/.test(document.activeElement && document.activeElement.tagName);
        if (event.key !== "/" || writing || event.ctrlKey || event.metaKey || event.altKey) return;
        event.preventDefault();
        search.current.focus();
      };
      document.addEventListener("keydown", listen);
      return () => document.removeEventListener("keydown", listen);
    }, []);
    const choose = (name, options) =>
      h(
        "select",
        { value: wanted[name], "aria-label": options[0][1], onChange: (event) => change({ [name]: event.target.value }) },
        options.map(([value, word]) => h("option", { key: value, value }, word)),
      );
    const set = wanted.q || wanted.state || wanted.type;
    return h(
      "form",
      { className: "filters", role: "search", "aria-label": words.filter, onSubmit: (event) => event.preventDefault() },
      h("input", {
        ref: search, type: "search", value: wanted.q, placeholder: words.search, "aria-label": words.search, title: words.search_key,
        autoComplete: "off", spellCheck: false, maxLength: 100,
        onChange: (event) => change({ q: event.target.value }),
        onKeyDown: (event) => event.key === "Escape" && change({ q: "" }),
      }),
      choose("state", states),
      choose("type", types),
      h("button", { type: "button", className: "choice", disabled: !set, onClick: () => change({ q: "", state: "", type: "" }) }, words.clear),
    );
  }

  ts.Overview = function ({ url, words, states, types }) {
    const [wanted, change] = useFilter();
    const slow = useSlow(wanted, 150);
    const query = new URLSearchParams(Object.entries(slow).filter(([, value]) => value)).toString();
    const live = ts.useWatch(query ? `${url}?${query}` : url);
    const wall = ts.useMedia(WALL);
    const stateWords = React.useMemo(() => Object.fromEntries(states), [states]);
    const { data } = live;
    if (!data) return h("div", { className: "waiting", role: "status" }, live.status === "loading" ? words.loading : "");
    const tally = data.matched === data.total ? data.total : `${data.matched} / ${data.total}`;
    const toolbar = h(
      "div",
      { className: "toolbar" },
      h("h2", null, words.targets, h("span", { className: "tally" }, tally)),
      h(Filters, { wanted, change, words, states, types }),
      h("p", { className: "legend" }, words.legend),
    );
    return h(
      "div",
      { className: `overview${wall ? " is-wall" : ""}` },
      h("h1", { className: "unseen" }, words.title),
      h(Watch, { data, words, wall }, wall && h("section", { className: "panel" }, toolbar)),
      h("section", { className: "panel all", "aria-label": words.targets }, !wall && toolbar, h(Board, { data, words, stateWords, wall })),
    );
  };
})();
