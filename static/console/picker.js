"use strict";
// Suggestions for fields that find a row by its name. Without it the name is typed to its end.
{
    for (const field of document.querySelectorAll("input[data-suggest]")) {
        const list = document.getElementById(field.getAttribute("list"));
        let asked = 0;
        let wait;
        const suggest = async () => {
            const mine = ++asked;
            const answer = await fetch(`${field.dataset.suggest}&term=${encodeURIComponent(field.value)}`, { headers: { Accept: "application/json" } });
            if (!answer.ok || mine !== asked) {
                return;
            }
            const { results } = await answer.json();
            list.replaceChildren(
                ...results.map(({ id, text }) => {
                    const option = document.createElement("option");
                    const twice = results.filter((other) => other.text === text).length > 1;
                    option.value = twice ? id : text;
                    option.label = text;
                    return option;
                }),
            );
        };
        field.addEventListener("focus", suggest, { once: true });
        field.addEventListener("input", () => {
            clearTimeout(wait);
            wait = setTimeout(suggest, 200);
        });
    }
}
