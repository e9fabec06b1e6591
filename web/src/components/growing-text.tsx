import { useLayoutEffect, useRef, type Ref, type TextareaHTMLAttributes } from "react";
import { cn } from "../ui/cn";

type Props = TextareaHTMLAttributes<HTMLTextAreaElement> & { ref?: Ref<HTMLTextAreaElement>; maxHeight?: number };

/** A text field that is as high as what is in it, up to a bound. */
export function GrowingText({ value, maxHeight = 240, className, ref, ...rest }: Props) {
  const own = useRef<HTMLTextAreaElement | null>(null);
  useLayoutEffect(() => {
    const field = own.current;
    if (field === null) return;
    field.style.height = "auto";
    const height = Math.min(field.scrollHeight, maxHeight);
    field.style.height = `${height}px`;
    field.style.overflowY = field.scrollHeight > maxHeight ? "auto" : "hidden";
  }, [value, maxHeight]);
  return (
    <textarea
      ref={(element) => {
        own.current = element;
        if (typeof ref === "function") ref(element);
        else if (ref) ref.current = element;
      }}
      value={value}
      className={cn("block w-full resize-none bg-transparent text-base leading-6 outline-none placeholder:text-faint sm:text-md", className)}
      {...rest}
    />
  );
}
