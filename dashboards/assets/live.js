/* The pages' data: asked for again and again, shared by all parts, and honest about its age.

   Age is what the server says (its clock less the monitor's heartbeat) plus the time since it said so. It grows by
   itself when answers stop coming: no answer is needed to know that the figures are old. */
(function () {
  "use strict";
  const ts = (window.thongsuot = window.thongsuot || {});
  const React = window.React;

  const TIMEOUT_MS = 8000;
  const RETRY_MS = 2000;
  const HIDDEN_MS = 15000;
  const AWAY_AFTER_MS = 5000;
  ts.STALE_AFTER_MS = 15000;

  const EMPTY = { path: "", data: null, status: "loading", simulated: false, heartbeat: 0, known: false };
  let snapshot = EMPTY;
  let url = "";
  let etag = "";
  let build = "";
  let timer = 0;
  let request = null;
  let base = { now: Date.now(), wall: Date.now(), mono: performance.now() };
  let lastAnswer = performance.now();
  const listeners = new Set();

  function change(part) {
    snapshot = Object.assign({}, snapshot, part);
    listeners.forEach((listener) => listener());
  }

  /* The greater of two clocks: one may stand still while the machine sleeps, the other may be set back. */
  function sinceBase() {
    return Math.max(performance.now() - base.mono, Date.now() - base.wall);
  }

  ts.now = () => base.now + sinceBase();
  ts.age = () => Math.max(0, ts.now() - snapshot.heartbeat);
  ts.webAway = () => snapshot.status === "web_away" && performance.now() - lastAnswer > AWAY_AFTER_MS;

  function schedule(delay) {
    clearTimeout(timer);
    timer = setTimeout(poll, document.hidden ? Math.max(delay, HIDDEN_MS) : delay);
  }

  async function poll() {
    if (!url) return;
    if (request) request.abort();
    const mine = (request = new AbortController());
    const asked = url;
    const deadline = setTimeout(() => mine.abort(), TIMEOUT_MS);
    let delay = RETRY_MS;
    try {
      const headers = etag ? { "If-None-Match": etag } : {};
      const answer = await fetch(asked, { headers, cache: "no-store", signal: mine.signal });
      const data = answer.status === 200 ? await answer.json() : null;
      if (request !== mine) return;
      delay = 1000 * Number(answer.headers.get("Thongsuot-Again") || RETRY_MS / 1000);
      take(answer, data);
    } catch (error) {
      if (request !== mine) return;
      change({ status: "web_away" });
    } finally {
      clearTimeout(deadline);
    }
    schedule(delay);
  }

  function take(answer, data) {
    const number = (name) => Number(answer.headers.get(name) || 0);
    const now = number("Thongsuot-Now");
    if (now) {
      base = { now, wall: Date.now(), mono: performance.now() };
      lastAnswer = performance.now();
    }
    if (answer.status === 200 || answer.status === 304) {
      reloadWhenRenewed(answer.headers.get("Thongsuot-Build"));
      const heartbeat = number("Thongsuot-Heartbeat");
      const simulated = answer.headers.get("Thongsuot-Simulated") === "1";
      if (data) etag = answer.headers.get("ETag") || "";
      change(Object.assign({ status: "ok", known: true, heartbeat, simulated }, data ? { data } : {}));
      return;
    }
    etag = "";
    const problems = { 404: "unknown_target", 503: "store_away" };
    change({ status: now ? problems[answer.status] || "broken" : "web_away" });
  }

  /* A wall runs for months: when the server has been renewed, so are the scripts. */
  function reloadWhenRenewed(seen) {
    if (build && seen && seen !== build) window.location.reload();
    build = seen || build;
  }

  ts.watch = function (wanted) {
    if (wanted === url) return;
    const path = wanted.split("?")[0];
    url = wanted;
    etag = "";
    if (path !== snapshot.path) {
      snapshot = Object.assign({}, snapshot, { path, data: null, status: "loading" });
      change({});
    }
    poll();
  };

  ts.leave = function (path) {
    if (url.split("?")[0] !== path) return;
    url = "";
    clearTimeout(timer);
    if (request) request.abort();
    request = null;
    etag = "";
    snapshot = Object.assign({}, snapshot, { path: "", data: null, status: "idle" });
    change({});
  };

  /* No one stands at a wall to reload it: a page that did not come up, or broke, is asked for again. */
  setInterval(function () {
    if (document.querySelector(".clock")) return;
    fetch("/healthz", { cache: "no-store" }).then(
      (answer) => answer.ok && window.location.reload(),
      () => {},
    );
  }, 30000);

  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && url) schedule(0);
  });
  window.addEventListener("online", () => url && schedule(0));

  function subscribe(listener) {
    listeners.add(listener);
    return () => listeners.delete(listener);
  }

  ts.useLive = () => React.useSyncExternalStore(subscribe, () => snapshot);

  ts.useWatch = function (wanted) {
    React.useEffect(() => ts.watch(wanted), [wanted]);
    const path = wanted.split("?")[0];
    React.useEffect(() => () => ts.leave(path), [path]);
    const live = ts.useLive();
    // A part that has just appeared must not draw the data of the page before it.
    return live.path === path ? live : EMPTY;
  };

  /* Draws again at every whole second of the server's clock. */
  ts.useTick = function () {
    const [, draw] = React.useReducer((n) => n + 1, 0);
    React.useEffect(() => {
      let next = 0;
      const tick = () => {
        draw();
        next = setTimeout(tick, 1005 - (ts.now() % 1000));
      };
      tick();
      return () => clearTimeout(next);
    }, []);
  };

  ts.fill = (text, values) => text.replace(/\{(\w+)\}/g, (all, name) => (name in values ? values[name] : all));

  ts.ageInWords = function (ms, words) {
    const seconds = Math.floor(ms / 1000);
    const [key, count] =
      seconds < 120
        ? ["seconds", seconds]
        : seconds < 7200
          ? ["minutes", Math.floor(seconds / 60)]
          : seconds < 172800
            ? ["hours", Math.floor(seconds / 3600)]
            : ["days", Math.floor(seconds / 86400)];
    return ts.fill(words[key], { count });
  };
})();
