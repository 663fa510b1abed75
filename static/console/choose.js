"use strict";
// Tells how many rows are ticked, and ticks all of the page at once. Everything works without it.
{
    const form = document.getElementById("choose");
    const boxes = [...document.querySelectorAll("#result_list input[name=chosen]")];
    const head = document.querySelector("#result_list thead .column-chooser");
    if (form && head && boxes.length) {
        const all = document.createElement("input");
        all.type = "checkbox";
        all.setAttribute("aria-label", "Choose all on this page");
        head.replaceChildren(all);
        const told = form.querySelector("[role=status]");
        const tell = () => {
            const ticked = boxes.filter((box) => box.checked).length;
            told.textContent = ticked ? `With the ${ticked} that ${ticked === 1 ? "is" : "are"} ticked:` : "With those that are ticked:";
            all.checked = ticked === boxes.length;
            all.indeterminate = ticked > 0 && !all.checked;
        };
        all.addEventListener("change", () => {
            boxes.forEach((box) => { box.checked = all.checked; });
            tell();
        });
        boxes.forEach((box) => box.addEventListener("change", tell));
        addEventListener("pageshow", tell);
        tell();
    }
}
