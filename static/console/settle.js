"use strict";
// Keys of the page that settles a post: 1, 2, 3 choose what was found, Ctrl+Enter sends. Off while typing.
{
    const form = document.getElementById("settle");
    const choices = form ? [...form.querySelectorAll("input[type=radio]")] : [];
    const typing = (element) => /^(TEXTAREA|SELECT)$/.test(element.tagName) || (element.tagName === "INPUT" && element.type !== "radio");
    document.addEventListener("keydown", (event) => {
        if (!form) {
            return;
        }
        if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
            event.preventDefault();
            form.requestSubmit(form.querySelector("button[type=submit]"));
            return;
        }
        const chosen = choices[Number(event.key) - 1];
        if (!chosen || event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) {
            return;
        }
        event.preventDefault();
        chosen.checked = true;
        chosen.focus();
    });
}
