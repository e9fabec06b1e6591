// What of the audit log is shown, as it stands in the address of its page. Small: the router needs it for every page, and
// leaves it to that page to say which actions there are.
type AuditSearch = Partial<Record<"action" | "actor" | "noun" | "connection", string>>;

/** Reads what is said of a filter in an address. */
export function auditSearch(search: Record<string, unknown>): AuditSearch {
  const text = (name: keyof AuditSearch) => {
    const value = search[name];
    return typeof value === "string" && value !== "" ? { [name]: value } : {};
  };
  return { ...text("action"), ...text("actor"), ...text("noun"), ...text("connection") };
}
