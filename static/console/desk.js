"use strict";
// The review desk by keyboard, claims that are renewed while somebody reads, and boxes to tick in the list.
// Everything works without it, by buttons.
{
    const find = (id) => document.getElementById(id);
    const decide = find("decide");
    const words = find("id_reasons");
    const dialog = find("keys");
    const told = find("told");
    const hint = find("hint");
    let leaving = false; // by a form that ends the claim itself

    const say = (sentence) => {
        told.textContent = sentence;
        told.hidden = false;
        told.scrollIntoView({ block: "nearest" });
    };

    // Keys.

    const writes = (element) =>
        element.isContentEditable ||
        /^(TEXTAREA|SELECT)$/.test(element.tagName) ||
        (element.tagName === "INPUT" && !/^(checkbox|radio|button|submit)$/.test(element.type));

    let chosen = null;
    const choose = (button) => {
        chosen?.removeAttribute("data-chosen");
        chosen = button;
        chosen?.setAttribute("data-chosen", "");
        chosen?.focus();
    };
    const press = (form) => form?.requestSubmit(form.querySelector("button[type=submit]:not([disabled])"));

    let warned = false;
    const go = (leave) => {
        if (words && words.value !== words.defaultValue && !warned) {
            warned = true;
            hint.textContent = "You have written something. The same key again leaves it.";
        } else {
            leave();
        }
    };
    const before = () => {
        const links = [...document.querySelectorAll("#queue a[href]:not([data-held]), #queue a[aria-current]")];
        const here = links.findIndex((link) => link.hasAttribute("aria-current"));
        links[here - 1]?.click();
    };

    const verbs = {
        j: () => go(() => press(find("skip"))),
        k: () => go(before),
        u: () => press(find("undo")),
        w: () => words?.focus(),
        "?": () => dialog?.showModal(),
    };
    for (const button of decide?.querySelectorAll("button[data-key]") || []) {
        verbs[button.dataset.key] = () => choose(button);
    }
    if (verbs.e) {
        const higher = find("to_administrators");
        const button = decide.querySelector("button[data-key=e]");
        verbs.e = () => {
            if (higher && chosen === button) {
                higher.checked = !higher.checked;
            }
            choose(button);
        };
    }
    decide?.querySelectorAll(".chip input").forEach((box, index) => {
        verbs[index + 1] = () => box.click();
    });

    document.addEventListener("keydown", (event) => {
        if (dialog?.open || event.isComposing || event.altKey || event.metaKey) {
            return;
        }
        if (event.key === "Enter" && event.ctrlKey) {
            if (decide && (!writes(event.target) || event.target === words)) {
                event.preventDefault();
                if (chosen) {
                    decide.requestSubmit(chosen);
                } else {
                    hint.textContent = writes(event.target) ? "Choose first: Esc, then a, r or e." : "Choose first: a, r or e.";
                }
            }
        } else if (event.key === "Enter" && event.target.type === "checkbox") {
            event.preventDefault(); // browsers press a form's first button for it
        } else if (event.key === "Escape") {
            if (event.target === words) {
                chosen ? chosen.focus() : words.blur();
            } else {
                choose(null);
                document.activeElement.blur();
            }
        } else if (!event.ctrlKey && !writes(event.target) && Object.hasOwn(verbs, event.key)) {
            event.preventDefault();
            verbs[event.key]();
        }
    });

    const keys = find("show-keys");
    if (keys && dialog) {
        keys.hidden = false;
        keys.addEventListener("click", () => dialog.showModal());
    }
    const queue = find("queue");
    find("show-queue")?.addEventListener("click", (event) => {
        const open = queue.toggleAttribute("data-open");
        event.target.setAttribute("aria-expanded", String(open));
    });

    // The claim: asked for again each minute while somebody looks, given back when the page is left.

    const held = find("held");
    if (held?.dataset.claim) {
        const form = new FormData();
        form.set("csrfmiddlewaretoken", document.querySelector("main [name=csrfmiddlewaretoken]").value);
        const lost = (sentence) => {
            held.textContent = "";
            delete held.dataset.until;
            clearInterval(clock);
            say(`${sentence} What you have written stays here.`);
        };
        const renew = async () => {
            if (document.visibilityState !== "visible" || leaving || !held.dataset.until) {
                return;
            }
            try {
                const answer = await fetch(held.dataset.claim, { method: "POST", body: form, redirect: "error" });
                const said = await answer.json();
                if (answer.ok) {
                    held.dataset.until = said.until;
                    find("held-until").textContent = said.clock;
                } else {
                    lost(said.refusal);
                }
            } catch {
                // Without an answer the claim stays as it was; a decision says what is the matter.
            }
        };
        const clock = setInterval(renew, 60_000);
        document.addEventListener("visibilitychange", renew);
        addEventListener("pageshow", (event) => {
            leaving = false;
            if (event.persisted) {
                renew();
            }
        });
        document.addEventListener("submit", (event) => {
            leaving = event.target === decide || event.target.id === "skip";
        });
        addEventListener("pagehide", () => {
            if (!leaving && held.dataset.until) {
                form.set("until", held.dataset.until);
                navigator.sendBeacon(held.dataset.release, form);
            }
        });
    }

    // Taking back ends by itself.

    const undo = find("undo");
    if (undo) {
        const left = Date.parse(undo.dataset.until) - Date.now();
        setTimeout(() => {
            undo.querySelector("button").disabled = true;
            undo.querySelector("span.quiet").textContent = "the time to take it back is over";
        }, Math.max(left, 0));
    }

    // The list: how many are ticked, and all at once.

    const all = find("choose-all");
    if (all) {
        const boxes = [...document.querySelectorAll("#result_list input[name=item]")];
        const count = () => {
            const ticked = boxes.filter((box) => box.checked).length;
            all.checked = ticked === boxes.length && ticked > 0;
            all.indeterminate = ticked > 0 && !all.checked;
            find("chosen").textContent = ticked ? `${ticked} chosen:` : "";
            for (const button of find("bulk").querySelectorAll("button")) {
                button.hidden = !ticked;
            }
        };
        all.parentElement.hidden = false;
        all.addEventListener("change", () => {
            boxes.forEach((box) => { box.checked = all.checked; });
            count();
        });
        boxes.forEach((box) => box.addEventListener("change", count));
        addEventListener("pageshow", count);
        count();
    }
}
