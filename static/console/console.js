"use strict";
// The menu on a narrow screen, "/" for the search, and forms that are sent once and lose no words.
// Everything works without it.
{
    // Times are shown in this zone, unless the person has chosen another (see ZoneMiddleware).
    const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
    if (zone) {
        const cookie = location.protocol === "https:" ? `__Host-zone=${zone}; path=/; secure` : `zone=${zone}; path=/admin/`;
        document.cookie = `${cookie}; max-age=31536000; samesite=lax`;
    }

    const menu = document.getElementById("menu");
    if (menu) {
        menu.addEventListener("click", () => {
            const open = document.documentElement.toggleAttribute("data-menu");
            menu.setAttribute("aria-expanded", String(open));
        });
        document.addEventListener("keydown", (event) => {
            if (event.key === "Escape" && document.documentElement.hasAttribute("data-menu")) {
                menu.click();
                menu.focus();
            }
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

    // A second click sends nothing. What was typed is kept over a sign-in that came between, and given back once.
    const DRAFT = "gatehouse-draft";
    const kept = JSON.parse(sessionStorage.getItem(DRAFT) || "{}");
    sessionStorage.removeItem(DRAFT);
    const words = document.querySelector("form.decide textarea");
    if (words && kept.path === location.pathname && words.value === "") {
        words.value = kept.text;
    }
    document.addEventListener("submit", (event) => {
        const form = event.target;
        if (form.method !== "post") {
            return;
        }
        if (form.dataset.sent) {
            event.preventDefault();
            return;
        }
        form.dataset.sent = "yes";
        if (words && words.form === form) {
            sessionStorage.setItem(DRAFT, JSON.stringify({ path: location.pathname, text: words.value }));
        }
    });
    addEventListener("pageshow", () => {
        for (const form of document.forms) {
            delete form.dataset.sent;
        }
    });
}
