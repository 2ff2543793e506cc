// What venv and pip print, in plain words.
import type { Version } from "./python";

// As urllib3, the operating systems and pip itself call it.
const NO_CONNECTION = new RegExp(
  [
    "NewConnectionError|NameResolutionError|ConnectTimeout|ReadTimeout|ProxyError|ConnectionResetError",
    "name resolution|Name or service not known|getaddrinfo failed|Network is unreachable|Connection refused",
    "Max retries exceeded|Could not fetch URL",
  ].join("|"),
  "i",
);

const REASONS: readonly (readonly [RegExp, string])[] = [
  [
    /No module named '?(?:venv|ensurepip)|ensurepip is not available/,
    "this Python can't make virtual environments; on Debian and Ubuntu the package python3-venv is missing",
  ],
  [/No module named '?pip/, "this Python has no pip"],
  [/No space left on device|not enough space on the disk/i, "the disk is full"],
  [/CERTIFICATE_VERIFY_FAILED|SSLError|SSLCertVerificationError/, "the package index showed a certificate that this machine doesn't trust"],
  [
    NO_CONNECTION,
    "the package index could not be reached, so the packages that the server needs could not be fetched; is there a network?",
  ],
  [/HTTP error 40[137]|40[137] (?:Client Error|Proxy Authentication|Forbidden|Unauthorized)/i, "the package index refused access"],
  [/Permission denied|Access is denied/i, "files could not be written: permission denied"],
];

/** Why venv or pip failed, by all that they printed. */
export function reasonOfFailure(lines: readonly string[], version: Version): string {
  const known = REASONS.find(([pattern]) => lines.some((line) => pattern.test(line)));
  if (known !== undefined) {
    return known[1];
  }
  const missing = first(lines, /No matching distribution found for ([A-Za-z0-9._-]+)/);
  if (missing !== undefined) {
    return `the package index has no ${missing} for Python ${version.join(".")} on this system`;
  }
  const error = first([...lines].reverse(), /^ERROR: (.+?)\.?$/) ?? lines.findLast((line) => line.trim() !== "");
  return error === undefined ? "the installation ended without a word" : `the installation failed: ${error.trim()}`;
}

/** What pip is doing, if this line tells. */
export function progressOf(line: string): string | undefined {
  const [, download, size] = /^\s*Downloading (\S+?)(?:-\d\S*)? \(([^)]+)\)/.exec(line) ?? [];
  if (download !== undefined) {
    return `downloading ${download.split("/").at(-1) ?? download} (${size ?? ""})`;
  }
  const [, collected] = /^Collecting ([A-Za-z0-9._-]+)/.exec(line) ?? [];
  if (collected !== undefined) {
    return `looking for ${collected}`;
  }
  return line.startsWith("Installing collected packages") ? "installing the packages" : undefined;
}

function first(lines: readonly string[], pattern: RegExp): string | undefined {
  return lines.map((line) => pattern.exec(line)?.[1]).find((found) => found !== undefined);
}
