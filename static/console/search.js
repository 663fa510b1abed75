"use strict";
// The arrows go through what was found, from the box and back into it.
{
    const box = document.getElementById("find");
    const links = [...document.querySelectorAll("#found .rows a")];
    document.addEventListener("keydown", (event) => {
        const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
        const here = links.indexOf(document.activeElement);
        const inPlay = here >= 0 || [box, document.body].includes(document.activeElement);
        if (!step || !inPlay || !links.length || event.ctrlKey || event.metaKey || event.altKey) {
            return;
        }
        event.preventDefault();
        (links[here + step] || (step < 0 ? box : links.at(-1))).focus();
    });
}
