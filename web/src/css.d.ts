import "react";

declare module "react" {
  // Custom properties are set through the style object, which the Content-Security-Policy allows.
  interface CSSProperties {
    [name: `--${string}`]: string | number | undefined;
  }
}
