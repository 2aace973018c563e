// Runs inside the page, put there by `withPage`: what accessibility.ts asks. Plain JavaScript, since the types
// of a page and those of Node do not go together.
globalThis.probes = {
  lowContrast(minimum) {
    const canvas = document.createElement('canvas');
    canvas.width = canvas.height = 1;
    const brush = canvas.getContext('2d', { willReadFrequently: true });
    // The browser itself paints the layers over each other: any colour syntax, any transparency.
    const luminance = (layers) => {
      brush.clearRect(0, 0, 1, 1);
      for (const layer of layers) {
        brush.fillStyle = layer;
        brush.fillRect(0, 0, 1, 1);
      }
      const [r, g, b] = [...brush.getImageData(0, 0, 1, 1).data].map((value) =>
        value <= 10 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4,
      );
      return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const seen = [];
    for (const element of document.querySelectorAll('body *')) {
      const own = [...element.childNodes].filter((node) => node.nodeType === Node.TEXT_NODE);
      const text = own
        .map((node) => node.textContent)
        .join('')
        .trim();
      const placeholder = element.matches(':placeholder-shown');
      if ((text === '' && !placeholder) || !element.checkVisibility({ visibilityProperty: true })) continue;
      const behind = [];
      for (let at = element; at !== null; at = at.parentElement)
        behind.unshift(getComputedStyle(at).backgroundColor);
      const color = getComputedStyle(element, placeholder ? '::placeholder' : null).color;
      const [light, dark] = [luminance([...behind, color]), luminance(behind)].sort((a, b) => b - a);
      seen.push({ text: text || 'placeholder', ratio: (light + 0.05) / (dark + 0.05) });
    }
    const low = seen.filter(({ ratio }) => ratio < minimum);
    return { checked: seen.length, low: low.map(({ text, ratio }) => `${text} (${ratio.toFixed(2)})`) };
  },

  focused() {
    const element = document.activeElement;
    const visible = [element, element.closest('label')].some(
      (item) => item !== null && getComputedStyle(item).outlineStyle === 'solid',
    );
    return { name: probes.nameOf(element), visible };
  },

  nameless() {
    const controls = [...document.querySelectorAll('button, input, textarea, select, a')];
    return controls.filter((control) => probes.nameOf(control) === '').map((control) => control.outerHTML);
  },

  nameOf(element) {
    return (element.ariaLabel ?? element.labels?.[0]?.textContent ?? element.textContent ?? '').trim();
  },

  overflow() {
    return Math.max(0, document.documentElement.scrollWidth - innerWidth);
  },
};
