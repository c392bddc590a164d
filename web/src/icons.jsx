// Line drawings, 20 × 20; decoration only: what a button does is in its label.
function Icon({ path }) {
  return (
    <svg class="icon" viewBox="0 0 20 20" width="18" height="18" fill="none" stroke="currentColor" stroke-width="1.7" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true">
      <path d={path} />
    </svg>
  );
}

export const Sun = () => <Icon path="M10 6.5a3.5 3.5 0 1 0 0 7a3.5 3.5 0 0 0 0-7M10 1.8v1.6M10 16.6v1.6M1.8 10h1.6M16.6 10h1.6M4.2 4.2l1.1 1.1M14.7 14.7l1.1 1.1M4.2 15.8l1.1-1.1M14.7 5.3l1.1-1.1" />;
export const Moon = () => <Icon path="M16.5 11.8A7 7 0 1 1 8.2 3.5a5.6 5.6 0 0 0 8.3 8.3z" />;
export const Send = () => <Icon path="M10 16V4.5M5 9.2l5-5l5 5" />;
export const Stop = () => <Icon path="M5.5 5.5h9v9h-9z" />;
export const Again = () => <Icon path="M16 10a6 6 0 1 1-1.8-4.3M16.2 3v3.4h-3.4" />;
export const Pencil = () => <Icon path="M4 16l.8-3.3l8.4-8.4a1.4 1.4 0 0 1 2 0l.5.5a1.4 1.4 0 0 1 0 2l-8.4 8.4z" />;
export const Copy = () => <Icon path="M7.5 7.5h8.5v8.5h-8.5zM12.5 7.5v-3.5h-8.5v8.5h3.5" />;
export const Sliders = () => <Icon path="M3 6h8M15 6h2M11 4v4M3 14h2M9 14h8M9 12v4" />;
export const Bin = () => <Icon path="M4 6h12M8 6v-2h4v2M5.5 6l.7 10h7.6l.7-10" />;
