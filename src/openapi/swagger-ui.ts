/** The parts of Swagger UI and its React that the plugin below uses. */
interface React {
  useState<T>(initial: T): [T, (next: T) => void]
  createElement(type: unknown, props: object | null, ...children: unknown[]): unknown
}
interface ResponseProps {
  code: string
  response: { get(field: 'description'): string }
  getComponent(name: string, isContainer: boolean): unknown
}

/**
 * A plugin of Swagger UI that shows each refusal as one line, its status and its description, and opens it on a
 * click: a dozen bodies that differ in two fields would hide the purpose of an operation. The plugin runs in the
 * browser, as text inside Swagger UI's own script, so it may use nothing but its arguments.
 */
export function collapsedRefusals() {
  return {
    wrapComponents: {
      response: (Response: unknown, { React }: { React: React }) =>
        function CollapsedResponse(props: ResponseProps) {
          const element = React.createElement
          const [isOpen, setOpen] = React.useState(Number(props.code) < 400)
          if (isOpen) return element(Response, props)
          const open = () => setOpen(true)
          const source = props.response.get('description')
          return element(
            'tr',
            { className: 'response', 'data-code': props.code, onClick: open, style: { cursor: 'pointer' } },
            element(
              'td',
              { className: 'response-col_status' },
              element('button', { type: 'button', title: 'Show an example', onClick: open }, props.code),
            ),
            element(
              'td',
              { className: 'response-col_description', colSpan: 2 },
              element(props.getComponent('Markdown', true), { source }),
            ),
          )
        },
    },
  }
}

/** Styles that shrink headers, lists of codes and long examples. No operation has links, so they are hidden. */
export const COMPACT_STYLE = `
.swagger-ui .responses-table .headers :is(td, th) { padding: 2px 10px 2px 0 }
.swagger-ui .response .renderedMarkdown p { margin: 0 0 4px }
.swagger-ui .response td { padding: 6px 10px 6px 0 }
.swagger-ui .responses-wrapper .highlight-code > .microlight { max-height: 170px }
.swagger-ui .response-control-media-type__accept-message { display: none }
.swagger-ui .response-col_links { display: none }
`
