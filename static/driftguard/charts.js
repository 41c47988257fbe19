// Draws the tables that the page brings along; each also stands there as a table.
"use strict";

(() => {
  const drawn = new Map(); // element → {instance, text}: what it shows now

  // Our colours are oklch() behind variables; the drawing library reads rgb() only.
  const pixel = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  function colour(name) {
    const value = getComputedStyle(document.documentElement).getPropertyValue(name);
    pixel.clearRect(0, 0, 1, 1);
    pixel.fillStyle = value;
    pixel.fillRect(0, 0, 1, 1);
    const [red, green, blue] = pixel.getImageData(0, 0, 1, 1).data;
    return `rgb(${red}, ${green}, ${blue})`;
  }

  function palette() {
    const names = ["text", "muted", "line", "surface", "now", "before", "good", "warn", "bad"];
    return Object.fromEntries(names.map((name) => [name, colour(`--dg-${name}`)]));
  }

  const figure = (value) =>
    typeof value === "number" ? String(Number(value.toPrecision(4))) : value ?? "–";
  const column = (data, index) => data.rows.map((row) => row[index]);
  const short = (name, most) => (name.length > most ? `${name.slice(0, most - 1)}…` : name);

  function axis(colours, more) {
    return {
      axisLabel: { color: colours.muted, hideOverlap: true },
      axisLine: { lineStyle: { color: colours.line } },
      splitLine: { lineStyle: { color: colours.line } },
      axisTick: { show: false },
      ...more,
    };
  }

  // The words of the row under the pointer. Rich text: no name is ever taken for HTML.
  function tooltip(data, colours, more) {
    return {
      renderMode: "richText",
      confine: true,
      backgroundColor: colours.surface,
      borderColor: colours.line,
      textStyle: { color: colours.text, fontSize: 12 },
      formatter: (given) => {
        const one = Array.isArray(given) ? given[0] : given;
        const row = data.rows[one.dataIndex];
        return data.columns.map((words, at) => `${words}: ${figure(row[at])}`).join("\n");
      },
      ...more,
    };
  }

  function limits(data, colours, along) {
    return {
      silent: true,
      symbol: "none",
      data: data.limits.map((limit) => {
        const tone = limit.tone === "calm" ? colours.muted : colours[limit.tone];
        return {
          [along]: limit.value,
          lineStyle: { color: tone, type: "dashed" },
          label: { formatter: limit.words, color: tone, position: along === "xAxis" ? "start" : "insideStartTop" },
        };
      }),
    };
  }

  const base = (colours) => ({
    animation: false,
    aria: { enabled: false }, // the element has its own words, and a table
    grid: { left: 8, right: 16, top: 40, bottom: 8, containLabel: true },
    legend: { top: 0, left: 0, itemHeight: 10, textStyle: { color: colours.text } },
  });

  const kinds = {
    // The index as a line over its two parts, which add up to it.
    risk(data, colours) {
      // The times of the table are UTC without saying so.
      const course = (at) => data.rows.map((row) => [`${row[0].replace(" ", "T")}Z`, row[at]]);
      const part = (at, fill) => ({
        name: data.columns[at], type: "line", stack: "parts", data: course(at),
        symbol: "none", lineStyle: { width: 1, color: fill }, itemStyle: { color: fill },
        areaStyle: { color: fill, opacity: 0.35 },
      });
      return {
        ...base(colours),
        tooltip: tooltip(data, colours, { trigger: "axis" }),
        useUTC: true,
        xAxis: axis(colours, { type: "time", splitLine: { show: false } }),
        yAxis: axis(colours, { type: "value", min: 0, max: 100 }),
        series: [
          part(2, colours.before),
          part(3, colours.warn),
          {
            name: data.columns[1], type: "line", data: course(1), symbolSize: 6,
            lineStyle: { width: 2.5, color: colours.now }, itemStyle: { color: colours.now },
            markLine: limits(data, colours, "yAxis"),
          },
        ],
      };
    },

    // Rows from top to bottom, the other columns from left to right.
    heat(data, colours) {
      const [mild, serious] = data.limits;
      const cells = [];
      data.rows.forEach((row, y) => row.slice(1).forEach((value, x) => {
        if (value !== null) cells.push([x, y, value]);
      }));
      const faint = (name, opacity) => colour(name).replace("rgb(", "rgba(").replace(")", `, ${opacity})`);
      return {
        ...base(colours),
        grid: { left: 8, right: 16, top: 8, bottom: 8, containLabel: true },
        tooltip: tooltip(data, colours, {
          formatter: ({ value: [x, y, value] }) =>
            `${data.rows[y][0]}\n${data.columns[x + 1]}: ${figure(value)}`,
        }),
        visualMap: {
          // The legend stands beside the chart, where it can break its line.
          type: "piecewise", show: false, dimension: 2,
          pieces: [
            { lt: mild.value / 2, color: faint("--dg-good", 0.2) },
            { gte: mild.value / 2, lt: mild.value, color: faint("--dg-good", 0.55) },
            { gte: mild.value, lt: serious.value, color: colours.warn },
            { gte: serious.value, color: colours.bad },
          ],
        },
        legend: undefined,
        xAxis: axis(colours, { type: "category", data: data.columns.slice(1), splitLine: { show: false } }),
        yAxis: axis(colours, {
          type: "category", inverse: true, data: column(data, 0), splitLine: { show: false },
          axisLabel: { color: colours.muted, interval: 0, formatter: (name) => short(name, 18) },
        }),
        series: [{ type: "heatmap", data: cells, itemStyle: { borderColor: colours.surface, borderWidth: 1 } }],
      };
    },

    // Two values with their intervals over time, on the share of labels behind them.
    course(data, colours) {
      const line = (at, fill, type, symbol) => [
        {
          name: data.columns[at], type: "line", data: column(data, at), symbol, symbolSize: 7,
          connectNulls: false, lineStyle: { width: 2, color: fill, type }, itemStyle: { color: fill },
          markLine: at === 4 ? limits(data, colours, "yAxis") : undefined,
        },
        {
          name: data.columns[at], type: "custom", tooltip: { show: false },
          itemStyle: { color: fill }, encode: { x: 0, y: [1, 2] },
          data: data.rows.map((row, index) => [index, row[at + 1], row[at + 2]]),
          renderItem: whisker(fill, at === 4 ? -4 : 4),
        },
      ];
      return {
        ...base(colours),
        tooltip: tooltip(data, colours, { trigger: "axis" }),
        xAxis: axis(colours, { type: "category", data: column(data, 0) }),
        yAxis: [
          axis(colours, { type: "value", scale: true, name: data.options.metric, nameTextStyle: { color: colours.muted } }),
          axis(colours, { type: "value", min: 0, max: 100, name: "%", splitLine: { show: false }, nameTextStyle: { color: colours.muted } }),
        ],
        series: [
          {
            name: data.columns[2], type: "bar", yAxisIndex: 1, data: column(data, 2), barMaxWidth: 28,
            itemStyle: { color: colours.before, opacity: 0.3 },
          },
          ...line(4, colours.now, "solid", "circle"),
          ...line(7, colours.warn, "dashed", "diamond"),
        ],
      };
    },

    // A value with its interval for each row.
    ranges(data, colours) {
      const names = column(data, 0);
      return {
        ...base(colours),
        legend: undefined,
        grid: { left: 8, right: 24, top: 28, bottom: 8, containLabel: true },
        tooltip: tooltip(data, colours, { trigger: "axis", axisPointer: { type: "shadow" } }),
        xAxis: axis(colours, { type: "value", min: 0 }),
        yAxis: axis(colours, {
          type: "category", inverse: true, data: names, splitLine: { show: false },
          axisLabel: { color: colours.muted, interval: 0, formatter: (name) => short(name, 22) },
        }),
        series: [
          {
            type: "scatter", data: column(data, 3), symbolSize: 9, itemStyle: { color: colours.now },
            markLine: limits(data, colours, "xAxis"),
          },
          {
            type: "custom", tooltip: { show: false }, encode: { x: [1, 2], y: 0 },
            data: data.rows.map((row, index) => [index, row[4], row[5]]),
            renderItem: (_given, api) => {
              if (Number.isNaN(api.value(1))) return undefined;
              const [left, y] = api.coord([api.value(1), api.value(0)]);
              const [right] = api.coord([api.value(2), api.value(0)]);
              return { type: "line", shape: { x1: left, y1: y, x2: right, y2: y }, style: { stroke: colours.now, lineWidth: 2 } };
            },
          },
        ],
      };
    },
  };

  function whisker(stroke, aside) {
    return (_given, api) => {
      if (Number.isNaN(api.value(1))) return undefined;
      const [x, low] = api.coord([api.value(0), api.value(1)]);
      const [, high] = api.coord([api.value(0), api.value(2)]);
      return { type: "line", shape: { x1: x + aside, y1: low, x2: x + aside, y2: high }, style: { stroke, lineWidth: 1.5 } };
    };
  }

  function draw(element, anew) {
    const source = document.getElementById(element.dataset.chart);
    if (!source) return;
    let one = drawn.get(element);
    if (one && !anew && one.text === source.textContent) return;
    const data = JSON.parse(source.textContent);
    if (!one) {
      if (data.kind === "heat" || data.kind === "ranges") {
        element.style.height = `${Math.max(180, 60 + 22 * data.rows.length)}px`;
      }
      one = { instance: echarts.init(element) };
      drawn.set(element, one);
      one.instance.on("click", ({ value, dataIndex }) => {
        // Of a heat map the row is the second part of the value.
        const at = one.data.kind === "heat" ? value[1] : dataIndex;
        if (one.data.addresses[at]) window.location.assign(one.data.addresses[at]);
      });
      new ResizeObserver(() => one.instance.resize()).observe(element);
    }
    Object.assign(one, { data, text: source.textContent });
    one.instance.setOption(kinds[data.kind](data, palette()), { notMerge: true });
  }

  function drawAll(anew) {
    for (const [element, one] of drawn) {
      if (!element.isConnected) {
        one.instance.dispose();
        drawn.delete(element);
      }
    }
    document.querySelectorAll("[data-chart]").forEach((element) => draw(element, anew));
  }

  drawAll(false);
  document.addEventListener("htmx:afterSettle", () => drawAll(false));
  const redraw = () => drawAll(true);
  new MutationObserver(redraw).observe(document.documentElement, { attributeFilter: ["class"] });
})();
