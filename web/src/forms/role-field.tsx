import type { User } from "../api/types";
import { Field, NativeSelect } from "../ui/input";

const ROLES: Record<User["role"], string> = { member: "Member: their own projects and keys", admin: "Admin: people and the server, too" };

/** What an account may do. */
export function RoleField({ value, onChange }: { value: User["role"]; onChange: (role: User["role"]) => void }) {
  return (
    <Field label="Role">
      {(control) => (
        <NativeSelect {...control} value={value} onChange={(event) => onChange(event.target.value as User["role"])}>
          {Object.entries(ROLES).map(([role, words]) => (
            <option key={role} value={role}>
              {words}
            </option>
          ))}
        </NativeSelect>
      )}
    </Field>
  );
}
