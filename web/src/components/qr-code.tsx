import qrcode from "qrcode-generator";

/** A square that a phone's camera reads an address from. */
export default function QrCode({ text, label }: { text: string; label: string }) {
  const code = qrcode(0, "M");
  code.addData(text);
  code.make();
  const count = code.getModuleCount();
  const dark = Array.from({ length: count }, (_, row) => Array.from({ length: count }, (__, column) => (code.isDark(row, column) ? `M${column} ${row}h1v1h-1z` : "")).join("")).join("");
  // Readers want dark on light and a quiet edge of four modules, in a dark theme too.
  return (
    <svg role="img" aria-label={label} viewBox={`-4 -4 ${count + 8} ${count + 8}`} shapeRendering="crispEdges" className="hidden size-28 shrink-0 rounded-md bg-white sm:block">
      <path d={dark} fill="black" />
    </svg>
  );
}
