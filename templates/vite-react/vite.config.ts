import tailwindcss from '@tailwindcss/vite'
import react from '@vitejs/plugin-react'
import { defineConfig } from 'vite'

export default defineConfig({
  plugins: [react(), tailwindcss()],
  // `@/…` is `src/…`, as tsconfig.json says.
  resolve: { tsconfigPaths: true },
  // The preview reaches the dev server through a proxy that speaks to it as localhost.
  // Hot reload follows the page's own address, so `server.hmr` stays unset.
  server: { host: '127.0.0.1', strictPort: true },
})
