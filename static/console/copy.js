"use strict";
// Buttons that copy the text which `data-copy` names; without a clipboard (plain http) the text is left selected.
{
    const say = document.getElementById("copied");
    for (const button of document.querySelectorAll("button[data-copy]")) {
        const shown = document.getElementById(button.dataset.copy);
        button.hidden = false;
        button.addEventListener("click", async () => {
            getSelection().selectAllChildren(shown);
            try {
                await navigator.clipboard.writeText(shown.textContent);
                button.textContent = "Copied";
                say.textContent = "Copied.";
            } catch {
                button.textContent = "Selected: press Ctrl-C";
                say.textContent = "Selected. Press Ctrl-C to copy.";
            }
        });
    }
    // To load this page again is to look at the page of the token, which does not tell it.
    history.replaceState(null, "", document.querySelector("[data-page]").dataset.page);
}
