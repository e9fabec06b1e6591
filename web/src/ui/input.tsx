import { Eye, EyeOff } from "lucide-react";
import { useId, useState, type InputHTMLAttributes, type ReactNode, type Ref, type SelectHTMLAttributes } from "react";
import { cn } from "./cn";

// Sixteen pixels on phones: below that, iOS zooms into the field.
const FIELD =
  "w-full rounded-md border border-line-strong bg-field text-text placeholder:text-faint text-base sm:text-sm transition-colors hover:border-edge aria-invalid:border-red focus-visible:border-accent focus-visible:outline-accent/40 disabled:opacity-60";

export type InputProps = InputHTMLAttributes<HTMLInputElement> & { ref?: Ref<HTMLInputElement> };

export function Input({ className, ...rest }: InputProps) {
  return <input className={cn(FIELD, "h-9 px-3 sm:h-8 sm:px-2.5", className)} {...rest} />;
}

/** A field for a secret, with a way to see what was pasted. */
export function SecretInput({ className, ...rest }: InputProps) {
  const [shown, setShown] = useState(false);
  return (
    <div className="relative">
      <Input type={shown ? "text" : "password"} spellCheck={false} autoCapitalize="off" autoCorrect="off" className={cn("pr-16 font-mono", className)} {...rest} />
      <button
        type="button"
        onClick={() => setShown(!shown)}
        aria-pressed={shown}
        className="absolute inset-y-1 right-1 flex items-center gap-1 rounded px-1.5 text-xs text-muted hover:text-text"
      >
        {shown ? <EyeOff className="size-3.5" aria-hidden /> : <Eye className="size-3.5" aria-hidden />}
        {shown ? "hide" : "show"}
      </button>
    </div>
  );
}

export function NativeSelect({ className, children, ...rest }: SelectHTMLAttributes<HTMLSelectElement>) {
  return (
    <select className={cn(FIELD, "h-9 px-2 sm:h-8", className)} {...rest}>
      {children}
    </select>
  );
}

type FieldControl = { id: string; "aria-describedby": string | undefined; "aria-invalid": true | undefined };

/** A label, its field, and under it either what is wrong or what helps. */
export function Field({
  label,
  optional,
  hint,
  error,
  children,
  className,
}: {
  label: ReactNode;
  optional?: boolean;
  hint?: ReactNode;
  error?: ReactNode;
  children: (control: FieldControl) => ReactNode;
  className?: string;
}) {
  const id = useId();
  const noteId = `${id}-note`;
  const note = error ?? hint;
  return (
    <div className={cn("grid gap-1.5", className)}>
      <label htmlFor={id} className="flex items-baseline gap-2 text-sm font-medium">
        {label}
        {optional && <span className="text-xs font-normal text-faint">optional</span>}
      </label>
      {children({ id, "aria-describedby": note ? noteId : undefined, "aria-invalid": error ? true : undefined })}
      {note && (
        <p id={noteId} className={cn("text-xs", error ? "text-red" : "text-muted")} role={error ? "alert" : undefined}>
          {note}
        </p>
      )}
    </div>
  );
}
