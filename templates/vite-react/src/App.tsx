import { Start } from './Start.tsx'

export default function App() {
  return <Start />
}
