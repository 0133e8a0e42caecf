"use strict";

// The token goes into the body of a request of this site; what comes back is a cookie
// that this script cannot read.

const form = document.getElementById("form");
const token = document.getElementById("token");
const failure = document.getElementById("failure");

form.addEventListener("submit", async event => {
  event.preventDefault();
  failure.hidden = true;
  try {
    const answer = await fetch("login", { method: "POST", body: token.value });
    if (answer.ok) {
      location.replace("./");
      return;
    }
    failure.textContent = await answer.text();
  } catch {
    failure.textContent = "The gateway does not answer.";
  }
  failure.hidden = false;
  token.select();
});
