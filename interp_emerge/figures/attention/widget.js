// @ts-check
"use strict";
// An attention view as a widget: which model is shown, which head is chosen, and which token is locked.

/** @param {{model: Model, el: HTMLElement}} given */
function render({ model, el }) {
  const place = placeIn(model, el, STYLE);
  const python = talkOver(model, ["frame", "head", "token"], () => take());
  let kept = new URLSearchParams();
  const view = attentionView(place, (chosen) => {
    kept = chosen;
    const token = chosen.get("token");
    python.tell({ frame: Number(chosen.get("frame")), head: chosen.get("head"), token: token === null ? null : Number(token) });
  });
  const take = () => {
    const asked = new URLSearchParams(kept);
    const token = model.get("token");
    for (const name of ["frame", "head"]) asked.set(name, model.get(name));
    if (token === null) asked.delete("token");
    else asked.set("token", token);
    if (String(asked) !== String(kept)) view.go(asked);
  };
  take();
  return () => {
    python.end();
    place.end();
  };
}
