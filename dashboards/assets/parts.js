/* Small parts that several pages draw: state shapes, sparklines, links, boxes that know their size. */
(function () {
  "use strict";
  const ts = (window.thongsuot = window.thongsuot || {});
  const React = window.React;
  const h = (ts.h = React.createElement);

  /* Each state has a shape of its own, so that no one has to tell colours apart. */
  const SHAPES = {
    up: h("circle", { cx: 8, cy: 8, r: 5.5 }),
    degraded: h("path", { d: "M8 1.5 15.2 14H.8Z" }),
    down: h("path", { d: "M1.5 1.5h13v13h-13Zm3.2 4.6L6.6 8l-1.9 1.9 1.4 1.4L8 9.4l1.9 1.9 1.4-1.4L9.4 8l1.9-1.9-1.4-1.4L8 6.6 6.1 4.7Z", fillRule: "evenodd" }),
    unknown: h("path", { d: "M8 .8 15.2 8 8 15.2.8 8Zm0 3.1L3.9 8 8 12.1 12.1 8Z", fillRule: "evenodd" }),
  };

  ts.Shape = React.memo(({ state }) =>
    h("svg", { className: `shape is-${state}`, viewBox: "0 0 16 16", "aria-hidden": true, focusable: false }, SHAPES[state]),
  );

  ts.State = ({ state, word }) => h("span", { className: `state is-${state}` }, h(ts.Shape, { state }), word);

  /* One letter a latency, 0 to v; a dot is a result without one: the line breaks and a mark stands at the foot. */
  function paths(letters) {
    let line = "";
    let lost = "";
    let drawing = false;
    for (let i = 0; i < letters.length; i++) {
      if (letters[i] === ".") {
        lost += `M${i} 31v-7`;
        drawing = false;
        continue;
      }
      const y = 29 - (parseInt(letters[i], 32) * 27) / 31;
      line += `${drawing ? "L" : "M"}${i} ${y.toFixed(1)}`;
      if (!drawing && (i + 1 === letters.length || letters[i + 1] === ".")) line += "h.01";
      drawing = true;
    }
    return [line, lost];
  }

  ts.Spark = React.memo(({ letters }) => {
    if (!letters) return h("span", { className: "spark" });
    const [line, lost] = paths(letters);
    const width = Math.max(letters.length, 60);
    return h(
      "svg",
      { className: "spark", viewBox: `${letters.length - width} 0 ${width - 1} 32`, preserveAspectRatio: "none", "aria-hidden": true, focusable: false },
      lost && h("path", { className: "spark-lost", d: lost }),
      h("path", { className: "spark-line", d: line }),
    );
  });

  /* A probe's own line: technical, English, and after a sentence that says what it means. */
  ts.Detail = ({ text, as = "p" }) => (text ? h(as, { className: "message", lang: "en", title: text }, text) : null);

  /* A name that may be too long is cut in its middle: the end is what tells it from its neighbours. */
  ts.Clipped = React.memo(({ text }) => {
    const space = text.length > 16 ? text.indexOf(" ", text.length - 12) : -1;
    const at = space > 0 ? space : text.length;
    return h("span", { className: "clipped" }, h("span", { className: "clipped-head" }, text.slice(0, at)), h("span", { className: "clipped-tail" }, text.slice(at)));
  });

  /* A link inside the application: the page changes without a reload; with a modifier key it is an ordinary link. */
  ts.go = function (event, href) {
    if (event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    window.history.pushState({}, "", href);
    window.dispatchEvent(new CustomEvent("_dashprivate_pushstate"));
    window.scrollTo(0, 0);
  };

  ts.Link = ({ href, children, ...rest }) =>
    h("a", Object.assign({ href, onClick: (event) => ts.go(event, href) }, rest), children);

  ts.targetHref = (id) => `/target/${encodeURIComponent(id)}`;

  ts.useBox = function () {
    const ref = React.useRef(null);
    const [box, setBox] = React.useState({ width: 0, height: 0 });
    React.useLayoutEffect(() => {
      if (!ref.current) return undefined;
      const measure = () => {
        const { clientWidth: width, clientHeight: height } = ref.current;
        setBox((old) => (old.width === width && old.height === height ? old : { width, height }));
      };
      measure();
      const observer = new ResizeObserver(measure);
      observer.observe(ref.current);
      return () => observer.disconnect();
    }, []);
    return [ref, box];
  };

  ts.useMedia = function (query) {
    const media = React.useMemo(() => window.matchMedia(query), [query]);
    const subscribe = React.useCallback(
      (listener) => {
        media.addEventListener("change", listener);
        return () => media.removeEventListener("change", listener);
      },
      [media],
    );
    return React.useSyncExternalStore(subscribe, () => media.matches);
  };

  /* A list on a wall that cannot scroll: shows whole entries only, and says how many more there are. */
  ts.FitList = function ({ fit, hidden, more, className, children }) {
    const [ref, box] = ts.useBox();
    const [shown, setShown] = React.useState(children.length);
    React.useLayoutEffect(() => {
      if (!fit || !ref.current) return setShown(children.length);
      const entries = Array.from(ref.current.children);
      const fits = (room) => entries.filter((entry) => entry.offsetTop + entry.offsetHeight <= room).length;
      const all = fits(box.height + 1);
      return setShown(all === entries.length && !hidden ? all : fits(box.height - 26));
    });
    const left = children.length - shown + hidden;
    return h(
      "div",
      { className: `fit ${fit ? "is-fit" : ""}` },
      h("ul", { className, ref }, children.map((child, i) => (i < shown ? child : React.cloneElement(child, { style: { visibility: "hidden" }, "aria-hidden": true })))),
      left > 0 && h("p", { className: "more" }, ts.fill(more, { count: left })),
    );
  };
})();
