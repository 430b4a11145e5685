"use strict";
const main = document.querySelector("main");
let failures = 0;
async function renew() {
  try {
    const answer = await fetch("?fragment=1", {cache: "no-store"});
    if (!answer.ok) throw new Error(answer.status);
    const text = await answer.text();
    const kept = document.activeElement && document.activeElement.id;
    main.innerHTML = text;
    if (kept && document.getElementById(kept)) document.getElementById(kept).focus();
    document.title = main.querySelector("h1").dataset.title;
    failures = 0;
  } catch (error) {
    failures += 1;
    if (failures > 2) {
      document.title = "NO ANSWER";
      main.querySelector("h1").firstChild.data = "NO ANSWER";
      main.querySelector("h1").className = "bad";
    }
  }
  setTimeout(renew, document.hidden ? 5000 : 1000);
}
setTimeout(renew, 1000);
