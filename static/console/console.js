"use strict";
// The menu on a narrow screen, and "/" for the search. Everything works without it.
{
    const menu = document.getElementById("menu");
    if (menu) {
        menu.addEventListener("click", () => {
            const open = document.documentElement.toggleAttribute("data-menu");
            menu.setAttribute("aria-expanded", String(open));
        });
    }
    const typing = (element) => element.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(element.tagName);
    document.addEventListener("keydown", (event) => {
        if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) {
            return;
        }
        const find = document.getElementById("find");
        if (find) {
            event.preventDefault();
            find.focus();
        }
    });
}
