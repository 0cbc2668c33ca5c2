/* A target's page: what it is and why, its state over time, and below the charts its history and relations. */
(function () {
  "use strict";
  const ts = (window.thongsuot = window.thongsuot || {});
  const React = window.React;
  const h = React.createElement;

  function startWindow(windows) {
    const asked = new URLSearchParams(window.location.search).get("window");
    return windows.some(([value]) => value === asked) ? asked : windows[0][0];
  }

  function useTheme() {
    const read = () => document.documentElement.dataset.theme;
    const [theme, setTheme] = React.useState(read);
    React.useEffect(() => {
      const listen = () => setTheme(read());
      window.addEventListener("thongsuot:theme", listen);
      return () => window.removeEventListener("thongsuot:theme", listen);
    }, []);
    return theme;
  }

  const Head = ({ head }) =>
    h(
      "section",
      { className: `panel head is-${head.state}` },
      h("h1", null, head.name),
      h(
        "p",
        { className: "head-state" },
        h(ts.State, { state: head.state, word: head.word }),
        head.since && h("span", null, `${head.since} (${head.lasting})`),
        head.flags.map((flag) => h("span", { key: flag, className: "flag" }, flag)),
      ),
      head.reason && h("p", { className: "head-reason" }, head.reason),
      h(ts.Detail, { text: head.message }),
      h("dl", { className: "facts" }, head.facts.map(([name, value]) => h("div", { key: name }, h("dt", null, name), h("dd", null, value)))),
    );

  const Availability = ({ period, words }) =>
    h(
      "section",
      { className: "panel availability" },
      h("h2", null, `${words.availability} · ${period.period}`),
      h("p", { className: "big-number" }, period.value),
      h("p", { className: `verdict${period.met === null ? "" : period.met ? " is-up" : " is-down"}` }, period.met !== null && h(ts.Shape, { state: period.met ? "up" : "down" }), period.verdict),
      h("dl", { className: "rows" }, period.rows.map(([name, value]) => h("div", { key: name }, h("dt", null, name), h("dd", { className: "figure" }, value)))),
    );

  const Windows = ({ windows, chosen, choose, label }) =>
    h(
      "div",
      { className: "windows", role: "group", "aria-label": label },
      windows.map(([value, word]) => h("button", { key: value, type: "button", className: "choice", "aria-pressed": value === chosen, onClick: () => choose(value) }, word)),
    );

  const Timeline = ({ timeline, words, children }) =>
    h(
      "section",
      { className: "panel timeline" },
      h("div", { className: "toolbar" }, h("h2", null, words.timeline), children),
      h(
        "div",
        { className: "strip", role: "img", "aria-label": timeline.spoken || words.timeline },
        timeline.segments.map(([left, width, state, told], i) => h("span", { key: i, className: `segment is-${state}`, title: told, style: { left: `${left / 100}%`, width: `${width / 100}%` } })),
      ),
      h("p", { className: "strip-ends" }, h("span", null, timeline.from), h("span", null, timeline.to)),
    );

  ts.Target = function ({ url, target, words, windows, setProps }) {
    const [chosen, setChosen] = React.useState(() => startWindow(windows));
    const theme = useTheme();
    const live = ts.useWatch(`${url}?window=${chosen}&theme=${theme}`);
    const { data } = live;
    const checks = data && data.checks;
    React.useEffect(() => {
      if (checks) setProps({ charts: checks });
      if (data) document.title = `${data.head.name} · ${words.product}`;
    }, [checks]);
    const choose = (value) => {
      const address = new URL(window.location.href);
      address.searchParams.set("window", value);
      window.history.replaceState(window.history.state, "", address);
      setChosen(value);
    };
    if (live.status === "unknown_target") {
      return h(
        "section",
        { className: "lost" },
        h("h1", null, words.unknown_target),
        h("p", null, ts.fill(words.unknown_target_text, { target })),
        h("p", null, h(ts.Link, { href: "/", className: "button" }, words.back)),
      );
    }
    if (!data) return h("div", { className: "waiting", role: "status" }, live.status === "loading" ? words.loading : "");
    return h(
      React.Fragment,
      null,
      h("nav", { className: "crumbs" }, h(ts.Link, { href: "/" }, `‹ ${words.back}`)),
      h("div", { className: "top" }, h(Head, { head: data.head }), data.availability.map((period) => h(Availability, { key: period.period, period, words }))),
      h(Timeline, { timeline: data.timeline, words }, h(Windows, { windows, chosen, choose, label: words.window })),
      !checks.length && h("p", { className: "nothing" }, words.no_checks),
    );
  };

  const Hops = ({ path }) =>
    h(
      "div",
      { className: "hops" },
      h("h3", null, path.title),
      h(
        "div",
        { className: "table-box", tabIndex: 0, role: "region", "aria-label": path.title },
        h(
          "table",
          null,
          h("thead", null, h("tr", null, path.columns.map((name, i) => h("th", { key: name, scope: "col", className: i && i < path.columns.length - 2 ? "" : "figure" }, name)))),
          h(
            "tbody",
            null,
            path.rows.map((row) =>
              h(
                "tr",
                { key: row.ttl, className: row.before ? "is-changed" : "" },
                h("td", { className: "figure" }, row.ttl),
                row.hosts.map((hosts, i) => h("td", { key: i, className: "host" }, hosts, !i && row.before && h("span", { className: "was" }, row.before))),
                h("td", { className: "figure" }, row.rtt),
                h("td", { className: `figure${row.lossy ? " is-degraded strong" : ""}` }, row.loss),
              ),
            ),
          ),
        ),
      ),
      path.notes.map((note) => h("p", { key: note, className: "note" }, note)),
    );

  ts.CheckHead = ({ check }) =>
    h(
      "div",
      { className: "check-head" },
      h("h2", null, h(ts.Shape, { state: check.state }), check.name, check.probe !== check.name && h("span", { className: "code" }, check.probe), h("span", { className: "code address" }, check.address)),
      h("p", null, h("span", { className: `is-${check.state} strong` }, check.word), [check.since, check.reason].filter(Boolean).map((part) => ` · ${part}`), h("span", { className: "muted" }, ` · ${check.every} · ${check.last}`)),
      check.advice && h("p", { className: "advice" }, check.advice),
      h(ts.Detail, { text: check.message }),
      check.path && h(Hops, { path: check.path }),
    );

  const Table = ({ title, columns, rows, empty, more }) =>
    h(
      "section",
      { className: "panel table" },
      h("h2", null, title, h("span", { className: "tally" }, rows.length || "")),
      rows.length
        ? h(
            "div",
            { className: "table-box", tabIndex: 0, role: "region", "aria-label": title },
            h(
              "table",
              null,
              h("thead", null, h("tr", null, columns.map(([name, , kind]) => h("th", { key: name, scope: "col", className: kind }, name)))),
              h("tbody", null, rows.map((row, i) => h("tr", { key: row.id || i }, columns.map(([name, cell, kind]) => h("td", { key: name, className: kind }, cell(row)))))),
            ),
          )
        : h("p", { className: "nothing" }, empty),
      more && h("p", { className: "more" }, more),
    );

  const related = (words) => [
    [words.name, (row) => h(ts.Link, { href: ts.targetHref(row.id) }, row.name)],
    [words.status, (row) => h(ts.State, { state: row.state, word: row.word })],
    [words.when, (row) => row.since, "figure"],
    [words.reason, (row) => row.reason],
    [words.latency_short, (row) => h("span", { className: "with-spark" }, h(ts.Spark, { letters: row.spark }), row.latency), "figure"],
    [words.today, (row) => row.availability, "figure"],
  ];

  const transitions = (words) => [
    [words.when, (row) => row.at, "figure"],
    [words.subject, (row) => row.subject],
    [words.change, (row) => h("span", { className: "change" }, h(ts.State, { state: row.before, word: row.beforeWord }), " → ", h(ts.State, { state: row.after, word: row.afterWord }))],
    [words.reason, (row) => row.reason],
    [words.detected, (row) => row.detected, "figure"],
  ];

  const incidents = (words) => [
    [words.incident, (row) => h("span", { className: "code" }, row.id)],
    [words.severity, (row) => row.severity],
    [words.status, (row) => h("span", { className: row.open ? "is-down strong" : "muted" }, row.phase)],
    [words.when, (row) => row.started, "figure"],
    [words.duration, (row) => row.span, "figure"],
    [words.reason, (row) => [row.reason, h(ts.Detail, { key: "detail", text: row.message })]],
    [words.cause, (row) => (row.cause ? h(ts.Link, { href: ts.targetHref(row.target) }, row.name) : words.this)],
  ];

  const months = (words) => [
    [words.month, (row) => row.month, "figure"],
    [words.availability, (row) => row.value, "figure"],
    [words.objective_short, (row) => row.met !== null && h("span", { className: `verdict ${row.met ? "is-up" : "is-down"}` }, h(ts.Shape, { state: row.met ? "up" : "down" }), row.verdict)],
    [words.coverage, (row) => row.coverage, "figure"],
    [words.outages, (row) => row.outages, "figure"],
    [words.downtime, (row) => row.downtime, "figure"],
    [words.longest, (row) => row.longest, "figure"],
  ];

  ts.History = function ({ words }) {
    const { data } = ts.useLive();
    if (!data || !data.transitions) return null;
    return h(
      React.Fragment,
      null,
      data.parents.length > 0 && h(Table, { title: words.parents, columns: related(words), rows: data.parents, more: data.moreParents }),
      data.members.length > 0 && h(Table, { title: words.members, columns: related(words), rows: data.members, more: data.moreMembers }),
      data.months.length > 0 && h(Table, { title: words.months, columns: months(words), rows: data.months }),
      h(Table, { title: words.incidents, columns: incidents(words), rows: data.incidents, empty: words.no_incidents }),
      h(Table, { title: words.transitions, columns: transitions(words), rows: data.transitions, empty: words.no_transitions, more: data.moreTransitions }),
    );
  };

  /* The charts are Dash's own: a clientside callback turns the data into its components. */
  const CONFIG = { displayModeBar: false, displaylogo: false, responsive: true, showTips: false };
  /* On a narrow screen a legend in one line would become five: two columns hold it. */
  function legend(figure) {
    if (window.innerWidth > 720) return figure;
    const two = Object.assign({}, figure.layout.legend, { x: -0.2, entrywidth: 0.5, entrywidthmode: "fraction", font: { size: 10 } });
    return Object.assign({}, figure, { layout: Object.assign({}, figure.layout, { legend: two, height: figure.layout.height + 30 }) });
  }

  const graph = (id, given, label, figure = legend(given)) => ({
    namespace: "dash_html_components", type: "Div",
    props: {
      className: "chart", role: "img", "aria-label": label,
      children: [
        { namespace: "dash_html_components", type: "H3", props: { children: label } },
        { namespace: "dash_core_components", type: "Graph", props: { id, figure, config: CONFIG, style: { height: `${figure.layout.height}px` } } },
      ],
    },
  });

  const note = (text) => ({ namespace: "dash_html_components", type: "P", props: { className: "note", children: text } });
  const headOf = (check) => Object.assign({}, check, { latency: null, phases: null });

  function draw(checks) {
    return checks.map((check, i) => ({
      namespace: "dash_html_components", type: "Section",
      props: {
        className: "panel check",
        children: [
          { namespace: "thongsuot", type: "CheckHead", props: { id: `check-${i}`, check: headOf(check) } },
          graph(`latency-${i}`, check.latency, check.latencyLabel),
        ].concat(check.phases ? [graph(`phases-${i}`, check.phases, check.phasesLabel)] : []).concat(check.phasesNote ? [note(check.phasesNote)] : []),
      },
    }));
  }

  function renew(checks) {
    checks.forEach((check, i) => {
      const set = window.dash_clientside.set_props;
      set(`check-${i}`, { check: headOf(check) });
      set(`latency-${i}`, { figure: legend(check.latency) });
      if (check.phases) set(`phases-${i}`, { figure: legend(check.phases) });
    });
  }

  let drawn = "";
  window.dash_clientside = window.dash_clientside || {};
  window.dash_clientside.thongsuot = {
    /* The charts are made once and then given new figures: made anew they would flicker and forget their zoom. */
    charts: function (checks) {
      const known = checks || [];
      const made = known.map((check) => check.id + Boolean(check.phases) + check.phasesNote).join(" ");
      if (made && made === drawn && document.getElementById("latency-0")) {
        renew(known);
        return window.dash_clientside.no_update;
      }
      drawn = made;
      return draw(known);
    },
  };
})();
