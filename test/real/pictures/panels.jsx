/**
 * A dashboard in the browser: its panels drawn by Grafana's component libraries, over what Prometheus answers. Bundled by draw.ts;
 * what Grafana's server and its panel plugins would do between both is here, for the panel types and options that the dashboards use.
 */
import {
  applyFieldOverrides,
  createTheme,
  dateTime,
  FieldConfigOptionsRegistry,
  FieldType,
  getFieldDisplayValues,
  identityOverrideProcessor,
  rangeUtil,
  ThemeContext,
  toDataFrame,
} from '@grafana/data'
import { BigValue, PanelChrome, TimeSeries } from '@grafana/ui'
import { createRoot } from 'react-dom/client'
import { filledIn } from 'dashboard-queries'

/** Of Grafana's grid, in px. */
const COLUMNS = 24
const ROW_HEIGHT = 30
const GAP = 8

const theme = createTheme({ colors: { mode: 'light' } })
const replaceVariables = text => text
const css = `*, *::before, *::after { box-sizing: border-box }
  body { margin: 0; background: ${theme.colors.background.canvas}; color: ${theme.colors.text.primary};
    font: ${theme.typography.body.fontSize}/1.57 Inter, sans-serif }
  h1 { margin: 0; padding: 12px ${GAP}px; font-size: 18px; font-weight: 500 }
  h1 small { margin-left: 16px; font-size: 14px; font-weight: 400; color: ${theme.colors.text.secondary} }
  h2, h6 { margin: 0; font-size: 14px; font-weight: 500 }
  h2.row { padding: 3px 0; font-size: 16px }
  table { border-spacing: 0 }
  button { border: 0; background: none; font: inherit; color: inherit }`

const property = (id, path, isCustom) => ({
  id,
  path,
  isCustom,
  name: id,
  process: identityOverrideProcessor,
  shouldApply: ({ type }) => type !== FieldType.time,
})

/** Standard options and those of the time series panel. */
const fieldConfigRegistry = new FieldConfigOptionsRegistry(() => [
  ...['unit', 'min', 'max', 'decimals', 'color', 'thresholds', 'mappings', 'noValue'].map(id =>
    property(id, id, false),
  ),
  ...[
    'drawStyle',
    'fillOpacity',
    'lineInterpolation',
    'lineStyle',
    'lineWidth',
    'showPoints',
    'spanNulls',
    'stacking',
    'thresholdsStyle',
  ].map(path => property(`custom.${path}`, path, true)),
])

/** As Grafana's panel fills in what a dashboard leaves out. */
const withDefaults = ({ type, fieldConfig }) =>
  type === 'timeseries'
    ? { ...fieldConfig, defaults: { color: { mode: 'palette-classic' }, ...fieldConfig.defaults } }
    : fieldConfig

/** Draws it into the body. Resolves with the titles of the panels that have no data; rejects with what Prometheus says. */
window.drawDashboard = async ({ dashboard, prometheusUrl, fromMs, toMs, scrapeMs }) => {
  const timeRange = rangeOf(fromMs, toMs)
  const drawn = []
  for (const panel of dashboard.panels) {
    const box = placeOf(panel)
    const asked = { prometheusUrl, timeRange, scrapeMs, width: box.width }
    const answers = []
    for (const target of panel.targets ?? []) answers.push(...(await ask({ target, ...asked })))
    const data = applyFieldOverrides({
      data: answers,
      fieldConfig: withDefaults(panel),
      fieldConfigRegistry,
      replaceVariables,
      theme,
      timeZone: 'utc',
    })
    drawn.push({ panel, box, data })
  }
  const root = document.body.appendChild(document.createElement('main'))
  createRoot(root).render(<Dashboard {...{ dashboard, drawn, timeRange }} />)
  return drawn
    .filter(({ panel, data }) => panel.targets && data.length === 0)
    .map(({ panel }) => panel.title)
}

function placeOf({ gridPos: { x, y, w, h } }) {
  const column = (document.body.clientWidth - GAP) / COLUMNS
  return {
    left: GAP + x * column,
    top: y * (ROW_HEIGHT + GAP),
    width: w * column - GAP,
    height: h * (ROW_HEIGHT + GAP) - GAP,
  }
}

function Dashboard({ dashboard, drawn, timeRange }) {
  const { from, to } = timeRange
  const bottom = Math.max(...drawn.map(({ box }) => box.top + box.height)) + GAP
  return (
    <ThemeContext.Provider value={theme}>
      <style>{css}</style>
      <h1>
        {dashboard.title}
        <small>
          {from.format('YYYY-MM-DD HH:mm:ss')} to {to.format('HH:mm:ss')} UTC
        </small>
      </h1>
      <div style={{ position: 'relative', height: bottom }}>
        {drawn.map(({ panel, box, ...rest }) => (
          <div key={panel.id} style={{ position: 'absolute', ...box }}>
            {panel.type === 'row' ? (
              <h2 className="row">{panel.title}</h2>
            ) : (
              <Panel {...{ panel, box, ...rest, timeRange }} />
            )}
          </div>
        ))}
      </div>
    </ThemeContext.Provider>
  )
}

const rangeOf = (fromMs, toMs) => {
  const [from, to] = [dateTime(fromMs).utc(), dateTime(toMs).utc()]
  return { from, to, raw: { from, to } }
}

/** Frames as Grafana's data source makes them. */
async function ask({ target, prometheusUrl, timeRange, scrapeMs, width }) {
  const { expr, instant, legendFormat, refId } = target
  const scrape = `${scrapeMs / 1000}s`
  const stepMs = rangeUtil.calculateInterval(timeRange, Math.floor(width), scrape).intervalMs
  const rateMs = Math.max(stepMs + scrapeMs, 4 * scrapeMs)
  const url = new URL(instant ? '/api/v1/query' : '/api/v1/query_range', prometheusUrl)
  const toS = timeRange.to.valueOf() / 1000
  const when = instant
    ? { time: toS }
    : { start: timeRange.from.valueOf() / 1000, end: toS, step: stepMs / 1000 }
  const query = filledIn(expr, `${rateMs / 1000}s`)
  url.search = new URLSearchParams({ query, ...when })
  const { data, error } = await (await fetch(url)).json()
  if (!data) throw new Error(`${query}: ${error}`)
  return data.result.map(({ metric, values, value }) => {
    const points = values ?? [value]
    const name = legendFormat.replaceAll(/\{\{(\w+)\}\}/g, (_, label) => metric[label] ?? '')
    const numbers = points.map(([, number]) => Number(number))
    return toDataFrame({
      refId,
      fields: [
        {
          name: 'Time',
          type: FieldType.time,
          values: points.map(([atS]) => atS * 1000),
          config: { interval: stepMs },
        },
        {
          name: 'Value',
          type: FieldType.number,
          values: numbers,
          labels: metric,
          config: { displayNameFromDS: name },
        },
      ],
    })
  })
}

function Panel({ panel, box, data, timeRange }) {
  const { type, title, description } = panel
  const Content = { stat: Stat, timeseries: Series }[type]
  if (!Content) throw new Error(`${title}: panels of type ${type} cannot be drawn`)
  return (
    <PanelChrome {...box} title={title} description={description}>
      {(width, height) =>
        data.length === 0 ? (
          <div style={{ height, display: 'grid', placeItems: 'center' }}>No data</div>
        ) : (
          <Content {...{ panel, data, width, height, timeRange }} />
        )
      }
    </PanelChrome>
  )
}

function Series({ panel, data, width, height, timeRange }) {
  return (
    <TimeSeries
      frames={data}
      structureRev={1}
      timeRange={timeRange}
      timeZone="utc"
      width={width}
      height={height}
      legend={panel.options.legend}
      options={panel.options}
    />
  )
}

function Stat({ panel, data, width, height }) {
  const { options, fieldConfig } = panel
  const { reduceOptions } = options
  const [only] = getFieldDisplayValues({
    fieldConfig,
    reduceOptions,
    replaceVariables,
    theme,
    data,
    timeZone: 'utc',
  })
  return (
    <BigValue
      {...options}
      value={only.display}
      count={1}
      width={width}
      height={height}
      theme={theme}
    />
  )
}
