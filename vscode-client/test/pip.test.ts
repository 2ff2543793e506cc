import assert from "node:assert/strict";
import { test } from "node:test";
import { progressOf, reasonOfFailure } from "../src/setup/pip";

const reasons: [string, string[], RegExp][] = [
  [
    "no network",
    [
      "WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError(...): Failed to establish a new connection: [Errno -3] Temporary failure in name resolution'",
      "ERROR: Could not find a version that satisfies the requirement numpy>=1.26 (from versions: none)",
      "ERROR: No matching distribution found for numpy>=1.26",
    ],
    /could not be reached.*network\?$/,
  ],
  [
    "a package that isn't there for this Python",
    ["ERROR: No matching distribution found for onnxruntime>=1.23"],
    /no onnxruntime for Python 3\.15\.0/,
  ],
  [
    "no venv",
    ["Error: ensurepip is not available.", "On Debian/Ubuntu systems, you need to install the python3-venv"],
    /package python3-venv/,
  ],
  ["a full disk", ["ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device"], /^the disk is full$/],
  ["a certificate", ["SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED] ...'))"], /certificate/],
  [
    "another error of pip",
    ["Collecting numpy", "ERROR: Something else went wrong."],
    /^the installation failed: Something else went wrong$/,
  ],
  ["a traceback", ["Traceback (most recent call last):", "ImportError: libgomp.so.1: cannot open shared object file", ""], /libgomp/],
  ["silence", [], /without a word/],
];

for (const [name, lines, reason] of reasons) {
  test(`the reason of a failure: ${name}`, () => {
    assert.match(reasonOfFailure(lines, [3, 15, 0]), reason);
  });
}

test("what pip is doing", () => {
  assert.equal(progressOf("Collecting numpy>=1.26 (from lacuna-lsp==0.1.0)"), "looking for numpy");
  assert.equal(
    progressOf("  Downloading onnxruntime_gpu-1.31.1-cp311-cp311-linux_x86_64.whl (256.1 MB)"),
    "downloading onnxruntime_gpu (256.1 MB)",
  );
  assert.equal(progressOf("Installing collected packages: numpy, tokenizers"), "installing the packages");
  assert.equal(progressOf("Requirement already satisfied: pip"), undefined);
});
