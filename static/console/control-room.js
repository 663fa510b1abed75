"use strict";
// The control room refreshes itself: htmx asks for the body again and again, and what has changed is put in piece by
// piece, so that focus, open details, the selection and what a screen reader is at stay where they are.
// When no answer comes, the page says so: old numbers are never shown as if they were new.
{
    const room = document.getElementById("room");
    const stale = document.getElementById("stale");

    const sameKind = (old, fresh) =>
        old && old.nodeType === fresh.nodeType && old.nodeName === fresh.nodeName && (old.id || "") === (fresh.id || "");

    const attributes = (old, fresh) => {
        for (const { name, value } of fresh.attributes) {
            if (old.getAttribute(name) !== value) {
                old.setAttribute(name, value);
            }
        }
        for (const { name } of [...old.attributes]) {
            if (!fresh.hasAttribute(name) && name !== "open") {
                old.removeAttribute(name);
            }
        }
    };

    // Children with an id are found by it, wherever they stood; the others by their place. What stands before a child
    // that stays goes, rather than the child: what is moved loses its focus and its selection.
    const children = (old, fresh) => {
        const byId = (parent) => new Map([...parent.children].filter((one) => one.id).map((one) => [one.id, one]));
        const [known, wanted] = [byId(old), byId(fresh)];
        let here = old.firstChild;
        for (const next of [...fresh.childNodes]) {
            const kept = next.id ? known.get(next.id) : sameKind(here, next) ? here : null;
            if (kept && sameKind(kept, next)) {
                while (here && here !== kept && !wanted.has(here.id)) {
                    const gone = here;
                    here = here.nextSibling;
                    gone.remove();
                }
                if (kept === here) {
                    here = here.nextSibling;
                } else {
                    old.insertBefore(kept, here);
                }
                become(kept, next);
            } else {
                old.insertBefore(next, here);
            }
        }
        while (here) {
            const gone = here;
            here = here.nextSibling;
            gone.remove();
        }
    };

    const become = (old, fresh) => {
        if (old.nodeType !== Node.ELEMENT_NODE) {
            if (old.data !== fresh.data) {
                old.data = fresh.data;
            }
        } else if (!old.isEqualNode(fresh)) {
            attributes(old, fresh);
            children(old, fresh);
        }
    };

    const refreshed = () => {
        const span = room.querySelector("[data-refreshed]");
        const seconds = Math.max(0, Math.round(Date.now() / 1000 - at));
        const said = seconds < 60 ? `${seconds} s` : `${Math.floor(seconds / 60)} min`;
        if (span) {
            span.textContent = `refreshed ${said} ago`;
        }
    };

    const failed = (why) => {
        const told = `Not refreshed: ${why} These numbers are of ${new Date(at * 1000).toLocaleTimeString()}.`;
        if (stale.textContent !== told) {
            stale.textContent = told;
        }
        stale.hidden = false;
        room.classList.add("stale");
    };

    let at = Date.now() / 1000; // by this machine's clock, which need not be the server's
    document.addEventListener("htmx:beforeRequest", (event) => {
        if (document.hidden) {
            event.preventDefault(); // nobody looks
        }
    });
    document.addEventListener("visibilitychange", () => {
        if (!document.hidden) {
            room.dispatchEvent(new Event("refresh"));
        }
    });
    document.addEventListener("htmx:beforeSwap", (event) => {
        const { xhr } = event.detail;
        event.detail.shouldSwap = false;
        if (xhr.status !== 200) {
            return;
        }
        if (new URL(xhr.responseURL).pathname !== room.getAttribute("hx-get")) {
            failed("you are no longer signed in. Load the page again to sign in.");
            return;
        }
        const fresh = new DOMParser().parseFromString(xhr.responseText, "text/html").body;
        const focus = document.activeElement;
        const bell = fresh.querySelector("#bell");
        if (bell) {
            children(document.querySelector(".bell"), bell.content.firstElementChild);
            bell.remove();
        }
        children(room, fresh);
        if (focus && focus.id && document.activeElement !== focus) {
            document.getElementById(focus.id)?.focus({ preventScroll: true });
        }
        at = Date.now() / 1000;
        stale.hidden = true;
        room.classList.remove("stale");
        refreshed();
    });
    document.addEventListener("htmx:responseError", (event) => {
        const said = { 403: "you may no longer see this.", 503: "the database does not answer." };
        failed(said[event.detail.xhr.status] || "the server met a fault.");
    });
    document.addEventListener("htmx:sendError", () => failed("the server does not answer."));
    document.addEventListener("htmx:timeout", () => failed("the server does not answer."));
    setInterval(refreshed, 1000);
    refreshed();
}
