/* The head of every page: product, simulation badge, counts, clock, age of the data, choices, and the loud banner. */
(function () {
  "use strict";
  const ts = (window.thongsuot = window.thongsuot || {});
  const React = window.React;
  const h = React.createElement;

  /* All times of a page are in one zone: `UTC+7`, as it is at this moment. */
  function offset(timezone) {
    const format = new Intl.DateTimeFormat("en-GB", { timeZone: timezone, timeZoneName: "shortOffset" });
    const part = format.formatToParts(new Date(ts.now())).find(({ type }) => type === "timeZoneName");
    return part.value.replace("GMT", "UTC");
  }

  function useClock(timezone) {
    ts.useTick();
    const format = React.useMemo(
      () =>
        new Intl.DateTimeFormat("en-GB", {
          timeZone: timezone, hourCycle: "h23", day: "2-digit", month: "2-digit", year: "numeric",
          hour: "2-digit", minute: "2-digit", second: "2-digit",
        }),
      [timezone],
    );
    const parts = {};
    format.formatToParts(new Date(ts.now())).forEach((part) => (parts[part.type] = part.value));
    return [`${parts.day}/${parts.month}/${parts.year}`, `${parts.hour}:${parts.minute}:${parts.second}`, offset(timezone)];
  }

  /* What is wrong with the figures themselves, worst first; null when they are fresh. */
  function trouble(live, words) {
    if (live.status === "store_away" || live.status === "broken") return { text: words[live.status], old: live.known };
    if (ts.webAway()) return { text: words.web_away, old: live.known };
    if (!live.known || live.status === "idle") return null;
    if (!live.heartbeat) return { text: words.never_written, old: false };
    if (ts.age() > ts.STALE_AFTER_MS) return { text: words.monitor_silent, old: true };
    return null;
  }

  const Brand = ({ name }) =>
    h(
      ts.Link,
      { href: "/", className: "brand" },
      h(
        "svg",
        { viewBox: "0 0 32 32", className: "mark", "aria-hidden": true, focusable: false },
        h("path", { d: "M3 16h6l4-9 6 18 4-9h6", fill: "none", stroke: "currentColor", strokeWidth: 3.2, strokeLinecap: "round", strokeLinejoin: "round" }),
      ),
      name,
    );

  const Counts = ({ counts, label }) =>
    h(
      "ul",
      { className: "counts", "aria-label": label },
      counts.map((entry) =>
        h(
          "li",
          { key: entry.state, className: `count is-${entry.state}${entry.none ? " is-none" : ""}` },
          h(ts.Shape, { state: entry.state }),
          h("strong", null, entry.count),
          h("span", null, entry.word),
        ),
      ),
    );

  function otherLanguage(language) {
    const query = new URLSearchParams(window.location.search);
    query.set("lang", language === "vi" ? "en" : "vi");
    return `${window.location.pathname}?${query}`;
  }

  function useTheme() {
    const [theme, setTheme] = React.useState(document.documentElement.dataset.theme);
    const toggle = () => {
      const next = theme === "dark" ? "light" : "dark";
      document.documentElement.dataset.theme = next;
      document.cookie = `theme=${next}; path=/; max-age=31536000; samesite=lax`;
      const address = new URL(window.location.href);
      if (address.searchParams.has("theme")) {
        address.searchParams.delete("theme");
        window.history.replaceState(window.history.state, "", address);
      }
      setTheme(next);
      window.dispatchEvent(new Event("thongsuot:theme"));
    };
    return [theme, toggle];
  }

  const SUN = h("path", { d: "M12 7a5 5 0 1 0 0 10 5 5 0 0 0 0-10ZM12 1v3m0 16v3M1 12h3m16 0h3M4.2 4.2l2.1 2.1m11.4 11.4 2.1 2.1m0-15.6-2.1 2.1M6.3 17.7l-2.1 2.1" });
  const MOON = h("path", { d: "M20.5 14.3A8.5 8.5 0 0 1 9.7 3.5a8.5 8.5 0 1 0 10.8 10.8Z" });

  function Choices({ words, language }) {
    const [theme, toggle] = useTheme();
    const label = theme === "dark" ? words.light : words.dark;
    const switchLanguage = (event) => {
      event.preventDefault();
      window.location.assign(otherLanguage(language));
    };
    return h(
      "div",
      { className: "choices" },
      h("a", { href: otherLanguage(language), onClick: switchLanguage, className: "choice", lang: language === "vi" ? "en" : "vi", "aria-label": words.language_label }, words.language),
      h(
        "button",
        { type: "button", className: "choice", onClick: toggle, "aria-label": label, title: label },
        h("svg", { viewBox: "0 0 24 24", "aria-hidden": true, focusable: false, className: "icon" }, theme === "dark" ? SUN : MOON),
      ),
    );
  }

  function Freshness({ live, words, wrong }) {
    if (!live.known || live.status === "idle") return null;
    const text = wrong ? ts.fill(words.stale, { age: ts.ageInWords(ts.age(), words) }) : words.fresh;
    const title = ts.fill(words.heartbeat, { age: Math.floor(ts.age() / 1000) });
    return h("span", { className: `freshness${wrong ? " is-old" : ""}`, title }, h("i", { "aria-hidden": true }), text);
  }

  function Banner({ live, words, wrong }) {
    if (!wrong) return null;
    const age = wrong.old && live.heartbeat ? ts.fill(words.stale, { age: ts.ageInWords(ts.age(), words) }) : "";
    return h("div", { className: "banner" }, h(ts.Shape, { state: "down" }), age && h("strong", null, age), h("span", { role: "alert" }, wrong.text));
  }

  ts.Header = function ({ words, language, timezone }) {
    const live = ts.useLive();
    const [date, time, zone] = useClock(timezone);
    const wrong = trouble(live, words);
    React.useEffect(() => {
      document.documentElement.toggleAttribute("data-stale", Boolean(wrong));
    }, [Boolean(wrong)]);
    const [ref, box] = ts.useBox();
    React.useLayoutEffect(() => {
      document.documentElement.style.setProperty("--header", `${box.height + 1}px`);
    }, [box.height]);
    return h(
      "header",
      { className: "header", ref },
      h(
        "div",
        { className: "bar" },
        h(Brand, { name: words.product }),
        live.simulated && h("strong", { className: "simulated" }, words.simulated),
        live.data && live.data.counts ? h(Counts, { counts: live.data.counts, label: words.counts }) : h("span", { className: "counts" }),
        h(Freshness, { live, words, wrong }),
        h("div", { className: "clock", role: "timer", "aria-label": words.clock }, h("span", null, date), h("b", null, time), h("span", { className: "zone", title: ts.fill(words.zone, { zone: timezone }) }, zone)),
        h(Choices, { words, language }),
      ),
      h(Banner, { live, words, wrong }),
    );
  };
})();
