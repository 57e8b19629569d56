// What the views say, in the language that ComfyUI speaks.
import { app } from "../../../scripts/app.js";

const WORDS = {
  en: {
    alone: "The story appears here when it is told.",
    anew: (n) => `Next run: panel ${n} is told anew.`,
    before: "Panel before",
    branch: (n, count) => `Branch ${n}, ${count} panels`,
    branches: "Branches",
    close: "Close",
    enlarge: "Enlarge",
    goOn: "Go on",
    goOnFrom: (n) => `Go on from panel ${n}`,
    length: (count) => (count === 1 ? "1 panel" : `${count} panels`),
    lost: "The picked panel is not in this story. Pick another.",
    marked: (n) => `Panel ${n} is picked.`,
    next: "Next panel",
    onward: (n) => `Next run: the story goes on from panel ${n}.`,
    panels: "Panels",
    reRoll: "Re-roll",
    reRollIt: (n) => `Tell panel ${n} anew`,
    skipped: (count) => `… ${count} more`,
    telling: "Telling…",
    unpainted: "no picture",
    unpick: "Take back",
    unpickIt: "Take the pick back: the next run goes on from the newest panel",
  },
  zh: {
    alone: "讲述时，故事会显示在这里。",
    anew: (n) => `下次运行：重新讲述第 ${n} 格。`,
    before: "上一格",
    branch: (n, count) => `分支 ${n}，${count} 格`,
    branches: "分支",
    close: "关闭",
    enlarge: "放大",
    goOn: "继续",
    goOnFrom: (n) => `从第 ${n} 格继续`,
    length: (count) => `${count} 格`,
    lost: "选中的画格不在这个故事里，请另选。",
    marked: (n) => `已选中第 ${n} 格。`,
    next: "下一格",
    onward: (n) => `下次运行：从第 ${n} 格继续讲述。`,
    panels: "画格",
    reRoll: "重讲",
    reRollIt: (n) => `重新讲述第 ${n} 格`,
    skipped: (count) => `…… 另有 ${count} 格`,
    telling: "讲述中……",
    unpainted: "无图片",
    unpick: "取消",
    unpickIt: "取消选择：下次运行从最新的画格继续",
  },
};

export function words() {
  const wanted = app.extensionManager?.setting?.get?.("Comfy.Locale") ?? navigator.language;
  return WORDS[String(wanted).slice(0, 2)] ?? WORDS.en;
}
