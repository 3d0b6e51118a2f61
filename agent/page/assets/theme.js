/* Light or dark, before the first paint: a classic script, so that nothing flashes. */
(() => {
  const KEY = 'agent-theme';
  const root = document.documentElement;
  const dark = matchMedia('(prefers-color-scheme: dark)');
  const apply = () => {
    root.dataset.theme = localStorage.getItem(KEY) ?? (dark.matches ? 'dark' : 'light');
  };
  apply();
  dark.addEventListener('change', apply);
  document.addEventListener('click', (event) => {
    if (!event.target.closest('#theme')) return;
    localStorage.setItem(KEY, root.dataset.theme === 'dark' ? 'light' : 'dark');
    apply();
  });
})();
