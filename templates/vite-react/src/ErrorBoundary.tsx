import { Component, type ReactNode } from 'react'

type Props = { children: ReactNode }
type State = { error: Error | null }

/** Shows what went wrong where an error while rendering would otherwise leave an empty page. */
export class ErrorBoundary extends Component<Props, State> {
  state: State = { error: null }

  static getDerivedStateFromError(error: unknown): State {
    return { error: error instanceof Error ? error : new Error(String(error)) }
  }

  render() {
    const { error } = this.state
    if (!error) return this.props.children
    return (
      <main role="alert" className="mx-auto grid min-h-dvh max-w-xl content-center gap-4 p-6">
        <h1 className="text-lg font-medium">This page stopped with an error</h1>
        <pre className="overflow-auto rounded-lg border border-current/15 p-4 font-mono text-sm whitespace-pre-wrap">
          {error.message}
        </pre>
        <button
          type="button"
          className="justify-self-start rounded-md border border-current/25 px-3 py-1.5 text-sm hover:bg-current/5"
          onClick={() => this.setState({ error: null })}
        >
          Try again
        </button>
      </main>
    )
  }
}
