// Every address of the client and who may see it. Pages are loaded when they are visited.
import type { QueryClient } from "@tanstack/react-query";
import { createRootRouteWithContext, createRoute, createRouter, lazyRouteComponent, Outlet, redirect } from "@tanstack/react-router";
import { ApiError } from "./api/client";
import { healthQuery, startSession } from "./api/session";
import { auditSearch } from "./components/audit-filter";
import { jobFilter, type JobFilter } from "./components/job-filter";
import { openStream } from "./stream/lazy";
import { PageError } from "./components/page-error";
import { NotFound } from "./pages/not-found";

type Context = { cache: QueryClient };

/** A path on this site to go back to after signing in, or the dashboard. */
export function safeNext(next: unknown): string {
  return typeof next === "string" && /^\/(?![/\\])/.test(next) ? next : "/";
}

const rootRoute = createRootRouteWithContext<Context>()({ component: Outlet, notFoundComponent: NotFound });

const setupRoute = createRoute({
  getParentRoute: () => rootRoute,
  path: "/setup",
  beforeLoad: async ({ context }) => {
    const health = await context.cache.fetchQuery(healthQuery);
    if (!health.setup_required) throw redirect({ to: "/", replace: true });
    return { health };
  },
  component: lazyRouteComponent(() => import("./pages/setup")),
});

const signInRoute = createRoute({
  getParentRoute: () => rootRoute,
  path: "/sign-in",
  validateSearch: (search: Record<string, unknown>): { next?: string } => (typeof search.next === "string" ? { next: safeNext(search.next) } : {}),
  beforeLoad: async ({ context }) => {
    const health = await context.cache.fetchQuery(healthQuery);
    if (health.setup_required) throw redirect({ to: "/setup", replace: true });
  },
  component: lazyRouteComponent(() => import("./pages/sign-in")),
});

/** Where the link of an invite leads, whoever is signed in. What proves it stands behind the `#`. */
const inviteRoute = createRoute({
  getParentRoute: () => rootRoute,
  path: "/invite",
  component: lazyRouteComponent(() => import("./pages/invite")),
});

const signedInRoute = createRoute({
  getParentRoute: () => rootRoute,
  id: "signed-in",
  beforeLoad: async ({ context, location }) => {
    let after: string | null;
    try {
      after = await startSession(context.cache);
    } catch (error) {
      if (!(error instanceof ApiError) || error.status !== 401) throw error;
      const next = location.href === "/" ? {} : { next: location.href };
      throw redirect({ to: "/sign-in", search: next, replace: true });
    }
    // Before the pages read anything, so that what changes meanwhile isn't missed.
    await openStream(context.cache, after);
  },
  component: lazyRouteComponent(() => import("./pages/signed-in")),
});

const dashboardRoute = createRoute({
  getParentRoute: () => signedInRoute,
  path: "/",
  component: lazyRouteComponent(() => import("./pages/dashboard")),
});

export const WORKSPACE_TABS = ["conversation", "preview", "files", "logs", "connections", "more"] as const;
export type WorkspaceTab = (typeof WORKSPACE_TABS)[number];

const projectRoute = createRoute({
  getParentRoute: () => signedInRoute,
  path: "/projects/$id",
  validateSearch: (search: Record<string, unknown>): { tab?: WorkspaceTab; file?: string } => {
    const tab = WORKSPACE_TABS.find((known) => known === search.tab);
    return { ...(tab ? { tab } : {}), ...(typeof search.file === "string" ? { file: search.file } : {}) };
  },
  component: lazyRouteComponent(() => import("./pages/project")),
});

const settingsRoute = createRoute({
  getParentRoute: () => signedInRoute,
  path: "/settings",
  component: lazyRouteComponent(() => import("./pages/settings/layout")),
});

const settingsIndexRoute = createRoute({
  getParentRoute: () => settingsRoute,
  path: "/",
  beforeLoad: () => {
    throw redirect({ to: "/settings/providers", replace: true });
  },
});

const providersRoute = createRoute({
  getParentRoute: () => settingsRoute,
  path: "/providers",
  component: lazyRouteComponent(() => import("./pages/settings/providers")),
});

const modelsRoute = createRoute({
  getParentRoute: () => settingsRoute,
  path: "/models",
  component: lazyRouteComponent(() => import("./pages/settings/models")),
});

const auditRoute = createRoute({
  getParentRoute: () => settingsRoute,
  path: "/audit",
  validateSearch: auditSearch,
  component: lazyRouteComponent(() => import("./pages/settings/audit")),
});

const jobsRoute = createRoute({
  getParentRoute: () => settingsRoute,
  path: "/jobs",
  validateSearch: (search: Record<string, unknown>): JobFilter => jobFilter(search),
  component: lazyRouteComponent(() => import("./pages/settings/jobs")),
});

const keysRoute = createRoute({
  getParentRoute: () => settingsRoute,
  path: "/keys",
  component: lazyRouteComponent(() => import("./pages/settings/keys")),
});

const importRoute = createRoute({
  getParentRoute: () => settingsRoute,
  path: "/import",
  component: lazyRouteComponent(() => import("./pages/settings/import")),
});

const peopleRoute = createRoute({
  getParentRoute: () => settingsRoute,
  path: "/people",
  component: lazyRouteComponent(() => import("./pages/settings/people")),
});

const systemRoute = createRoute({
  getParentRoute: () => settingsRoute,
  path: "/system",
  component: lazyRouteComponent(() => import("./pages/settings/system")),
});

const accountRoute = createRoute({
  getParentRoute: () => settingsRoute,
  path: "/account",
  component: lazyRouteComponent(() => import("./pages/settings/account")),
});

const routeTree = rootRoute.addChildren([
  setupRoute,
  signInRoute,
  inviteRoute,
  signedInRoute.addChildren([dashboardRoute, projectRoute, settingsRoute.addChildren([settingsIndexRoute, providersRoute, modelsRoute, jobsRoute, auditRoute, keysRoute, importRoute, peopleRoute, systemRoute, accountRoute])]),
]);

export function createAppRouter(cache: QueryClient) {
  return createRouter({
    routeTree,
    context: { cache },
    defaultPreload: "intent",
    defaultPendingMs: 300,
    defaultErrorComponent: ({ error, reset }) => <PageError error={error} onRetry={reset} />,
    defaultNotFoundComponent: NotFound,
  });
}
