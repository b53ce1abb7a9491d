// The size of an image on the screen: each pixel of the file becomes a square of the same size.

/**
 * Scale an image to its stage by a whole number, or divide a large one by a whole number.
 *
 * @param {HTMLElement} stage
 * @param {HTMLImageElement} element
 * @param {{width: number, height: number}} size of the file, in pixels
 */
export function fitTo(stage, element, { width, height }) {
  const fit = Math.min(stage.clientWidth / width, stage.clientHeight / height);
  const factor = fit >= 1 ? Math.floor(fit) : 1 / Math.ceil(1 / Math.max(fit, 0.01));
  element.width = Math.round(width * factor);
  element.height = Math.round(height * factor);
}
