// The slider that turns heads. One slider turns all stages of its part: each shows the frame whose
// angle is nearest. The frames are loaded already, so nothing has to be waited for.

for (const part of document.querySelectorAll("[data-turner]")) start(part);

function start(part) {
  const slider = part.querySelector("input[type=range]");
  const told = part.querySelector("[data-angle]:not(img)");
  const stages = [...part.querySelectorAll(".turn-stage")].filter((one) => one.querySelector("[data-yaw]"));
  const frames = [...part.querySelectorAll("img[data-yaw]")];
  const words = new Map(frames.map((frame) => [Number(frame.dataset.yaw), frame.dataset.angle]));
  const yaws = [...words.keys()].sort((one, other) => one - other);
  slider.max = String(yaws.length - 1);
  slider.value = String(yaws.indexOf(Number(part.querySelector("img.shown[data-yaw]").dataset.yaw)));
  slider.closest("[hidden]").hidden = false;
  slider.addEventListener("input", show);
  for (const stage of stages) follow(stage, yaws.length, (place) => { slider.value = String(place); show(); });
  show();

  function show() {
    const yaw = yaws[Number(slider.value)];
    told.textContent = words.get(yaw);
    slider.setAttribute("aria-valuetext", words.get(yaw));
    for (const stage of stages) showNearest(stage, yaw);
  }
}

function showNearest(stage, yaw) {
  const frames = [...stage.querySelectorAll("img")];
  const distance = (frame) => Math.abs(Number(frame.dataset.yaw) - yaw);
  const nearest = frames.reduce((best, frame) => (distance(frame) < distance(best) ? frame : best));
  for (const frame of frames) frame.classList.toggle("shown", frame === nearest);
  for (const caption of stage.parentElement.querySelectorAll("[data-caption]")) {
    caption.classList.toggle("shown", caption.dataset.caption === nearest.dataset.yaw);
  }
}

/* The head looks to where a finger or the pressed mouse is on the picture. */
function follow(stage, count, turn) {
  stage.classList.add("turns");
  stage.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    stage.setPointerCapture(event.pointerId);
    move(event);
  });
  stage.addEventListener("pointermove", (event) => {
    if (stage.hasPointerCapture(event.pointerId)) move(event);
  });

  function move(event) {
    const box = stage.getBoundingClientRect();
    const share = (event.clientX - box.left) / box.width;
    turn(Math.min(count - 1, Math.max(0, Math.floor(share * count))));
  }
}
