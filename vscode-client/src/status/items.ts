// What the menu offers.
import type { Condition } from "../server/lifecycle";

export interface MenuItem {
  readonly label: string;
  readonly description?: string;
  readonly command: string;
  readonly argument?: string;
}

export interface MenuState {
  readonly condition: Condition["kind"];
  /** Whether an editor shows a document that Lacuna looks at. */
  readonly served: boolean;
  readonly surpriseMap: boolean;
  readonly inline: boolean;
}

/** The rows of the menu: groups, of which none is empty. What can't be had now isn't there. */
export function menuItems({ condition, served, surpriseMap, inline }: MenuState): MenuItem[][] {
  const running = condition === "running";
  const here: MenuItem[] = [
    { label: "$(sparkle) Fill", description: "at the cursors and selections, jointly", command: "lacuna.fill" },
    { label: "$(sparkle) Fill all holes of the file", description: "jointly", command: "lacuna.fillAll" },
    { label: "$(lightbulb) Suggest at the cursor", command: "lacuna.triggerInline" },
    { label: surpriseMap ? "$(flame) Hide the surprise map" : "$(flame) Show the surprise map", command: "lacuna.toggleSurpriseMap" },
  ];
  const settings: MenuItem[] = [
    {
      label: inline ? "$(circle-slash) Turn automatic suggestions off" : "$(play) Turn automatic suggestions on",
      command: "lacuna.toggleInline",
    },
    { label: "$(package) Choose the model…", command: "lacuna.chooseModel" },
    { label: "$(gear) Settings", command: "workbench.action.openSettings", argument: "@ext:lacuna.lacuna" },
  ];
  const care: MenuItem[] = [
    ...(condition === "missing" ? [{ label: "$(cloud-download) Set up the server", command: "lacuna.setUpServer" }] : []),
    { label: running ? "$(refresh) Restart the server" : "$(refresh) Start the server", command: "lacuna.restartServer" },
    { label: "$(output) Show the log", command: "lacuna.showLog" },
    { label: "$(pulse) Examine the installation", command: "lacuna.doctor" },
  ];
  const useful = running ? [settings, care] : [care, settings];
  return running && served ? [here, ...useful] : useful;
}
