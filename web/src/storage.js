// What this browser remembers between visits. Private windows may refuse to: then it is remembered until the page closes.

export function recall(name, otherwise) {
  try {
    const text = localStorage.getItem(`hypura.${name}`);
    return text === null ? otherwise : JSON.parse(text);
  } catch {
    return otherwise;
  }
}

export function remember(name, value) {
  try {
    localStorage.setItem(`hypura.${name}`, JSON.stringify(value));
  } catch {
    // It lives on in the signal it came from.
  }
}
