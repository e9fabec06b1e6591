// The nouns of the API under the names the client uses. Only this file knows how the generated schema spells them.
import type { components } from "./schema";

type Schemas = components["schemas"];

export type Problem = Schemas["Problem"];
export type Health = Schemas["Health"];
export type System = Schemas["System"];
export type OpenCode = System["opencode"];
export type User = Schemas["User"];
export type SignIn = Schemas["SignIn"];
export type Provider = Schemas["Provider"];
export type Method = Provider["methods"][number];
export type MethodPrompt = Method["prompts"][number];
export type Model = Schemas["Model"];
export type ModelPreferences = Schemas["ModelPreferences"];
export type ProjectConnection = Schemas["ProjectConnection"];
export type ModelRef = Project["model"];
export type Connection = Schemas["Connection"];
export type ConnectionProject = Connection["projects"][number];
export type OAuthAttempt = Schemas["OAuthAttempt"];
export type Verification = NonNullable<Connection["verification"]>;
export type Delivery = NonNullable<ConnectionProject["delivery"]>;
export type Failure = Schemas["Failure"];
export type Job = Schemas["Job"];
export type JobStep = Job["steps"][number];
export type Project = Schemas["Project"];
export type Message = Schemas["Message"];
export type Part = Message["parts"][number];
export type Tool = NonNullable<Part["tool"]>;
export type AuditEvent = Schemas["AuditEvent"];
export type AuditNoun = Schemas["AuditNoun"];
export type AuditAction = Schemas["AuditAction"];
export type FileEntry = Schemas["FileEntry"];
